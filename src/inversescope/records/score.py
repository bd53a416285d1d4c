"""Records of the step `score`."""

from __future__ import annotations

from inversescope.records.record import (
    LEVEL,
    RESOLUTION,
    SITE,
    SITE_PARTS,
    Room,
    column,
    document,
    estimate,
    key,
    table,
)

RESULTS = table(
    "score/results.parquet",
    "One row a method, site, feature and bandwidth.",
    column(
        "method",
        "string",
        "`generator`, `weighted`, `reference`, `nearest`, `shuffled`, `no condition`, `wrong site`, "
        "`same ending`, `edits`; "
        "see [the method](statistics.md#scoring-a-hypothesis)",
    ),
    *SITE_PARTS,
    column(
        "feature",
        "string",
        "the feature; `null feature` is a hash of the input, which has no p- and q-value",
    ),
    column("resolution", "float64?", RESOLUTION),
    column("bandwidth", "float64?", "h; null for `nearest` and `no condition`"),
    column("targets", "int64", "targets used"),
    column("collapsed", "int64", "targets left out because their weights collapsed, see `targets.parquet`"),
    column("samples", "int64", "samples used"),
    column("undecided", "int64", "samples whose label is undecided"),
    column("unverified", "int64", "samples that could not be run back"),
    estimate("fcr", "feature consistency rate, 0 to 1"),
    column("chance", "float64?", "its chance level, 0 to 1"),
    estimate("corrected", "corrected score: (fcr − chance) / (1 − chance)"),
    estimate(
        "bits",
        "drop in the feature's entropy, bits; of draws with equal weights, over the targets with at least 4 decided; "
        "null where no target has",
    ),
    estimate(
        "others",
        "corrected score among inputs other than the target's own source, over the targets at which these have a "
        "hundredth of the weight or more and are worth four inputs; only for `generator`, `weighted` and `reference`, "
        "as the next two",
    ),
    column("others_targets", "int64?", "targets at which it is defined"),
    column("source_weight", "float64?", "the source's share of the weight, mean over the targets that count"),
    column(
        "p_value",
        "float64?",
        "of sharing the label with the target's own samples more than with those of shuffled targets, exact, among "
        "other inputs where half of the targets have such; see [the method](statistics.md#how-sure-a-score-is). Only "
        "for `generator`, `weighted` and `reference`",
    ),
    column("q_value", "float64?", "the same, adjusted over everything that this method was tested for in the run"),
    column("ess", "float64?", "effective sample size, by distinct inputs, median over targets"),
    column(
        "ending",
        "float64?",
        "number of last tokens that the inputs share with the source, median over the targets that count; null for "
        "other methods than `same ending`",
    ),
    estimate("gap", "calibration gap: generator minus reference; only for `generator`"),
    column(
        "below_noise",
        "bool?",
        "h is below the noise floor of the site (`collect/noise_floor.parquet`); null where there is no h",
    ),
    column("trusted", "bool?", "only for `reference`: whether it counts as the truth, exact or large enough"),
    column(
        "null_passes",
        "bool?",
        "the null feature is above chance by the same method at this site and bandwidth, so that every feature is: "
        "nothing is claimed here. Judged among other inputs, or with the source counted in where most targets have no "
        "other; null where it has no interval",
    ),
    column(
        "source_alone",
        "bool?",
        "the score is above chance and that among other inputs (`others`) is not, or is undefined: nothing is claimed "
        "here; null for the controls",
    ),
    column(
        "verdict",
        "string?",
        "the generator here, of `generator` and `weighted`: `agrees` with the reference, `copies`, `undertrained`, "
        "`unclear` or `unchecked`",
    ),
    column("reason", "string?", "why `corrected` is undefined; null where it is defined"),
)
DIAGNOSTICS = table(
    "score/diagnostics.parquet",
    "One row a site and bandwidth, for the sites that the generator was trained on.",
    *SITE_PARTS,
    *LEVEL,
    column("draws", "int64", "samples drawn"),
    column("unverified", "int64", "of these, not verified"),
    column("acceptance", "float64?", "share of draws with δ at most 0.1"),
    column("source_draws", "float64", "share of the draws that are the target's own source input"),
    column("source_weight", "float64?", "weight of the source input, mean over the targets that count"),
    column("others_acceptance", "float64?", "share of the other draws with δ at most 0.1"),
    column("distinct", "int64", "distinct draws"),
    column("distinct_accepted", "int64", "distinct accepted inputs other than the source"),
    column("novel", "float64?", "share of verified draws that are not in the training set"),
    column(
        "ess", "float64?", "effective sample size of the importance weights, by distinct inputs, median over targets"
    ),
    column("collapsed", "int64", "targets left out because their weights collapsed"),
    column("collapsed_missed", "int64", "of these, targets whose draws missed the mass"),
    column("collapsed_few", "int64", "of these, targets whose weights rest on too few inputs"),
    column("collapsed_far", "int64", "of these, targets without a near draw"),
    column("pareto_k", "float64?", "shape k̂ of the weights' tail, median over targets where it is defined"),
    column(
        "unreliable",
        "int64?",
        "targets whose k̂ is above min(1 − 1/log10(n), 0.7) for n distinct inputs; null where no target has a k̂",
    ),
    column("reference_ess", "float64?", "effective sample size of the reference, median over targets"),
    column("median_distance", "float64?", "median δ of the generator's draws"),
    column("prior_median_distance", "float64?", "median δ of the pool's inputs to the targets"),
    column("reference_acceptance", "float64?", "weight of the reference with δ at most 0.1, mean over targets"),
    column(
        "reference_median_distance",
        "float64?",
        "median δ of the reference, by its weights: what is typical at this bandwidth; null where it is not trusted",
    ),
    column(
        "acceptance_counts",
        "bool",
        "acceptance has a meaning here: 0.1 is not below the noise floor, and h is at most 0.1, or a tenth of a "
        "trusted reference has δ at most 0.1",
    ),
    column("noise_floor", "float64", "δ between two readings of one input, 95% quantile"),
    column("below_noise", "bool", "h is below it"),
    column("edits_acceptance", "float64?", "share of the edits with δ at most 0.1; the same at every bandwidth"),
    column("edits_median_distance", "float64?", "median δ of the edits"),
)
TARGETS = table(
    "score/targets.parquet",
    "One row a site, bandwidth and target, for the sites that the generator was trained on. See "
    "[the method](statistics.md#targets-that-are-left-out).",
    SITE,
    *LEVEL,
    column("target", "int32", "row in the split `target`"),
    column("draws, distinct", "int32", "its draws, and the distinct inputs among them"),
    column("source_draws", "float64", "share of the draws that are its own source input"),
    column("source_weight", "float64?", "weight of the source input; null where nothing has weight"),
    column("others_acceptance", "float64?", "share of the other draws with δ at most 0.1; null where there are none"),
    column("nearest", "float64?", "δ of the nearest draw; null where none was verified"),
    column("ess", "float64", "effective sample size of its weights, by distinct inputs"),
    column("pareto_k", "float64?", "shape k̂ of their tail; null where there is no tail to fit"),
    column("unreliable", "bool", "k̂ is too large for so many distinct inputs"),
    column("log_normaliser, log_floor", "float64?", "as in `verify/samples.parquet`"),
    column("left_out", "string?", "as in `verify/samples.parquet`"),
)
DISTANCES = table(
    "score/distances.parquet",
    "One row a bin of a histogram of δ.",
    SITE,
    column("method", "string", "`generator` or `prior`"),
    column("resolution", "float64?", RESOLUTION),
    column("bandwidth", "float64?", "h; null for `prior`"),
    column("low, high", "float64", "ends of the bin"),
    column("share", "float64", "share of the draws in it"),
)
QUALITY = table(
    "score/quality.parquet",
    "One row a site and bandwidth, for the sites that the generator was trained on. Columns that begin with `pool_` "
    "are of real inputs: the pool's, resampled by the kernel, for the targets where the reference can be relied on. "
    "See [the method](statistics.md#the-quality-of-the-samples).",
    SITE,
    *LEVEL,
    column("distinct, pool_distinct", "float64?", "share of a target's inputs that are distinct, over all targets"),
    estimate(
        "similarity",
        "how alike two draws of one target are: 1 less their normalised edit distance by tokens",
    ),
    estimate("pool_similarity", "the same for real inputs"),
    column(
        "nearest_train, pool_nearest_train",
        "float64?",
        "normalised edit distance to the nearest training input, median over up to 128 distinct inputs that are not in "
        "the training set; null where there are none",
    ),
    column("compared", "int64", "targets of the two-sample test"),
    estimate(
        "auc",
        "area under the curve with which a classifier tells weighted samples from real inputs; null for fewer than ten "
        "targets",
    ),
    column("p_value", "float64?", "of the two-sample test, by permutation"),
)
BY_DISTANCE = table(
    "score/by_distance.parquet",
    "One row a site, feature and bin of δ that holds an input of the pool with a label.",
    column("site, feature", "string", "the site, the feature"),
    column("low", "float64", "where the bin begins; bins are 0.1 wide"),
    column("high", "float64?", "where it ends; null for the last, which is open"),
    column("targets", "int64", "targets with inputs in the bin"),
    column("pairs", "int64", "pairs of a target and an input in the bin"),
    estimate("fcr", "share of these inputs with the target's label, mean over the targets"),
    column("chance", "float64?", "the chance level of the same targets"),
)
WORST_TARGETS = table(
    "score/worst_targets.parquet",
    "One row a target: of each site that the generator was trained on the three with the fewest accepted draws, at the "
    "smallest bandwidth, the worst first.",
    SITE,
    column("resolution", "float64?", RESOLUTION),
    column("bandwidth", "float64", "the smallest h"),
    column("target", "int32", "row in the split `target`"),
    column("draws, unverified", "int32", "its draws, and those of them that were not verified"),
    column("acceptance", "float64", "share of the draws with δ at most 0.1"),
    column("nearest", "float64?", "δ of the nearest draw; null where none was verified"),
    column("nearest_text", "string?", "its text"),
    column("pool_nearest", "float64", "δ of the nearest input of the pool, the target itself left out"),
    column(
        "copied",
        "float64?",
        "share of the verified draws that are training inputs; null where the pool is the whole prior",
    ),
    column("ess", "float64", "effective sample size of its weights, by distinct inputs"),
    column("pareto_k", "float64?", "shape k̂ of their tail; null where there is no tail to fit"),
    column(
        "reasons",
        "list of string",
        "every [rule](statistics.md#targets-with-the-fewest-accepted-draws) that holds, with the measurement; empty "
        "where half of the draws or more are accepted",
    ),
)
SUMMARY = document(
    "score/results.json",
    "The same numbers for programs without Parquet.",
    key("scores", "rows of `results.parquet`"),
    key("diagnostics", "rows of `diagnostics.parquet`"),
    key("accuracy", "`task/accuracy.json`"),
)
SCORE = Room("score", "", (RESULTS, DIAGNOSTICS, TARGETS, DISTANCES, QUALITY, BY_DISTANCE, WORST_TARGETS, SUMMARY))
