"""Records of the step `text`: targets inverted into natural text, beside stored inputs, floors and ceilings."""

from __future__ import annotations

from inversescope.records.record import SITE, Room, column, document, estimate, key, table

NEAREST, BEST, DRAWS = "nearest", "best", "draws"
STORED, PRIOR, SHUFFLED, RANDOM, ENDING = "stored", "no condition", "shuffled target", "random direction", "same ending"
PROBE = "linear probe"
ACCEPTANCE, RECOVERY = "acceptance", "recovery"
_WHERE = column("site", "string", "the site"), column("target", "int32", "row of the target")
_METHOD = column(
    "method",
    "string",
    "`nearest`, `best`, `draws N bits`; `stored ×N`: the nearest of N times as many stored positions as the search may "
    "read tokens; floors: `no condition` (the nearest of 8 draws of the prior), `shuffled target` (the nearest input "
    "found for another target), `random direction` (a search for a random vector of the same length); ceilings: `same "
    "ending N` (the target's own last N tokens behind other beginnings, the nearest of 8)",
)

ANSWERS = table(
    "text/answers.parquet",
    "One row an input that was found or drawn for a target at a site.",
    *_WHERE,
    _METHOD,
    column("rank", "int32", "place among the inputs of the method, from 0"),
    column("times", "int32", "number of the draws that it is; 1 for a search"),
    column("tokens", "list of int32", "the input, without the subject's prefix"),
    column("text", "string", "the same for people"),
    column("log_p", "float64", "ln P under the subject's own text"),
    column("distance", "float64", "δ from the target, in units of the spread of the subject's own text"),
    column("shared", "int32", "number of last tokens that inputs as near typically share; 0: as far as unrelated ones"),
)
VERDICTS = table(
    "text/verdicts.parquet",
    "One row a target, a site and a number of bits: are the draws to be believed? Where not, there are no numbers.",
    *_WHERE,
    column("source", "string", "the target's source input"),
    column("bits_wanted", "float64", "bits that were asked for"),
    column("believed", "bool", "whether the diagnostics hold"),
    column("verdict", "string", "the same in words"),
    column("outside", "bool", "no draw of the pool is as near as unrelated inputs are to each other"),
    column("bandwidth", "float64", "h"),
    column("bits", "float64?", "bits kept"),
    column("log_z", "float64?", "ln Z"),
    column("size", "float64?", "effective sample size, by distinct inputs"),
    column("spread", "float64?", "largest difference of ln Z between parts of the draws, nats"),
    column("near", "float64?", "share of the posterior that is nearer than unrelated inputs"),
    column("believed_bits", "float64?", "the most bits, of those tried, that are to be believed; null: none"),
    column("source_log_p", "float64?", "ln P of the source; null where it has another length"),
)
METHODS = table(
    "text/methods.parquet",
    "One row a target, a site and a method. Draws that are not to be believed have no row.",
    *_WHERE,
    _METHOD,
    column("tokens_read", "int64", "tokens that the subject read for it; 0 where they are read once for all targets"),
    column("distance", "float64", "δ of its nearest input; of draws and `same ending`, expected of the nearest of 8"),
    column("median", "float64?", "median δ of its inputs; null where it has one"),
    column("log_p", "float64?", "ln P of its first input; of draws, their mean; null where it is not known"),
    column("short_of_source", "float64?", "nats by which `best` lies below the source's own ln P − δ²/2h²"),
    column("same", "list of float64", "share of its inputs with the source's token at each place, from the end"),
    column("text", "string?", "its first input; null where it has none of its own"),
)
RULER = table(
    "text/ruler.parquet",
    "One row a site and a number of last tokens shared.",
    SITE,
    column("shared", "int32", "last tokens that two inputs share, and nothing else; 0: unrelated inputs"),
    column("distance", "float64", "median δ of such inputs"),
)
COMPARISON = table(
    "text/comparison.parquet",
    "One row a site and a method, over the targets that have it.",
    SITE,
    _METHOD,
    column("targets", "int32", "number of targets that have it"),
    estimate("distance", "mean δ"),
    estimate("log_p", "mean ln P"),
    estimate("ratio", "mean δ of the search `nearest` over that of the method, the same targets"),
    estimate("wins", "share of these targets for which the search `nearest` is nearer"),
)
SHARES = table(
    "text/shares.parquet",
    "One row a site, a method and a number of last tokens.",
    SITE,
    column(
        "method",
        "string",
        "as of `methods.parquet`; also `linear probe`: a ridge regression from the activation to the token's "
        "embedding, fitted on the run's pool, for the last 8 places where there are 20 inputs or more",
    ),
    column(
        "kind",
        "string",
        "`acceptance`: δ is at most that of inputs that share so many last tokens; `recovery`: the token at this place "
        "from the end is the source's",
    ),
    column("tokens", "int32", "number of last tokens, or the place, from 1"),
    estimate("share", "share of targets, or of their inputs"),
)
FEATURES = table(
    "text/features.parquet",
    "One row a target, a site, a number of bits and a feature, where the draws are to be believed.",
    *_WHERE,
    column("bits_wanted", "float64", "bits that were asked for"),
    column("feature", "string", "the feature"),
    column("label", "string", "its label of the source"),
    column("draws", "float64", "share of the draws with this label"),
    column("ending", "float64", "share of inputs that share `shared` last tokens with the source and nothing else"),
    column("prior", "float64", "share of the subject's own text"),
    column("shared", "int32", "last tokens in common that make inputs as near as the draws typically are, at least 1"),
)
ABOVE = table(
    "text/above.parquet",
    "One row a site, a number of bits and a feature, over its targets.",
    SITE,
    column("bits_wanted", "float64", "bits that were asked for"),
    column("feature", "string", "the feature"),
    column("targets", "int32", "number of targets whose draws are to be believed and whose source has a label"),
    estimate("draws", "share of the draws with the source's label"),
    estimate("above_ending", "the same less the share of inputs with the same ending: more than the text near the end"),
    estimate("above_prior", "the same less the share of the subject's own text"),
)

PART = document(
    "text/part-NNNNN.json",
    "Rows of one target at one site, so that a resumed run need not make them again.",
    key("answers, verdicts, methods, features", "its rows of these tables"),
    always=False,
)
POSITIONS = document(
    "text/stored-NNNNN.json",
    "The nearest of some stored positions, so that a resumed run need not read them again.",
    key("methods", "rows as of `methods.parquet`, of these positions alone"),
    always=False,
)

TEXT = Room(
    "text",
    "Empty tables where the config names no `text.sites`. δ here is in units of the spread of the subject's own text, "
    "not of the run's pool.",
    (
        ANSWERS,
        VERDICTS,
        METHODS,
        RULER,
        COMPARISON,
        SHARES,
        FEATURES,
        ABOVE,
        PART,
        POSITIONS,
    ),
)
TABLES = (ANSWERS, VERDICTS, METHODS, RULER, COMPARISON, SHARES, FEATURES, ABOVE)
