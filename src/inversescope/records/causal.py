"""Records of the step `causal`: the source inputs run again with other activations."""

from __future__ import annotations

from dataclasses import replace

from inversescope.records.record import RESOLUTION, SITE_PARTS, Room, column, document, estimate, key, table

_CONTINUATION = column(
    "continuation",
    "string?",
    "`causal.continuation`, behind which the next token is compared, a text or `N tokens` of the subject's own; null: "
    "right behind the input",
)
RUNS = table(
    "causal/runs.parquet",
    "One row a site, target, feature and kind of donor; means over its donors.",
    column("site", "string", "where the activation was replaced"),
    column(
        "feature",
        "string?",
        "the feature, or the hypothesis, whose labels chose the donors; null where none did",
    ),
    column(
        "kind",
        "string",
        "`own` (the source itself), `random`, `same` or `other`, by the donor's label, or `equal`: in every feature",
    ),
    column(
        "drawn_from",
        "string",
        "`minimal pairs` (inputs that differ from the source in this feature alone, or in none), `samples`, `pool` "
        "(the nearest with another label, where no sample has one; the random ones) or `source`",
    ),
    column("target", "int64", "row in the split `target`"),
    column("donors", "int64", "donors, distinct and none of them the source but for `own`"),
    column("distance", "float64", "δ between the donors' activations and the target"),
    column("kl", "float64", "KL(undisturbed ‖ patched) of the next token, nats"),
    column(
        "logit_difference",
        "float64?",
        "logit of the right next token minus that of the wrong one, patched; null where the task has none",
    ),
    column("undisturbed", "float64?", "the same of the source as it is"),
)
PARTS = replace(
    RUNS,
    path="causal/part-NNNNN.parquet",
    about="The rows of `runs.parquet` of up to 16 sites each, so that a resumed run need not run them again.",
    always=False,
)
EFFECTS = table(
    "causal/effects.parquet",
    "One row a site of the generator and feature, over the targets that have donors of every kind. Intervals are over "
    "targets. Features are also hypotheses that `mine` found: of each site the first three with q ≤ 0.05 that are not "
    "the task's own, those of the largest bandwidth first, by their expression.",
    *SITE_PARTS,
    column("feature", "string", "the feature"),
    column("donor_resolution", "float64?", RESOLUTION),
    column("donor_bandwidth", "float64", "h of the samples that were donors"),
    _CONTINUATION,
    column("targets", "int64", "targets with donors of every kind"),
    column("matched", "int64", "of these, those whose donors with another label are of minimal pairs: all, or none"),
    column("from_pool", "int64", "of these, those whose donors with another label are of the pool"),
    estimate("sufficiency", "1 − KL(same) / KL(random)"),
    estimate(
        "necessity",
        "(KL(other) − KL(base)) / KL(random); the base is `same`, of minimal pairs `equal`, or `own` where features "
        "identify an input",
    ),
    estimate("kept_same", "share of the logit difference that is kept"),
    estimate("kept_other", "the same with donors of another label"),
    estimate("kept_random", "the same with random donors"),
    estimate("effect", "KL(other) − KL(base), nats"),
    estimate("kl_same", "KL(undisturbed ‖ patched), nats, mean over targets"),
    estimate("kl_other", "the same with donors of another label"),
    estimate("kl_random", "the same with random donors"),
    column("kl_own", "float64?", "the same with the source's own activation: the rounding"),
    column("distance_same, distance_other, distance_random", "float64?", "δ of the donors, mean over targets"),
    column("reason", "string?", "why there are no ratios; null where there are"),
)
USED = table(
    "causal/used.parquet",
    "One row a row of `causal/effects.parquet`. The score is that of the smallest bandwidth at which it is reliable, "
    "the donors are of the largest.",
    column("site, feature", "string", "the site, the feature"),
    column(
        "method",
        "string?",
        "method whose score is used: `reference` or `weighted`, of a hypothesis `mined` (that of "
        "`mine/hypotheses.parquet`); null where none is defined",
    ),
    column("score_resolution", "float64?", RESOLUTION),
    column("score_bandwidth", "float64?", "h of the score; null where none is defined"),
    column("donor_resolution", "float64?", RESOLUTION),
    column("donor_bandwidth", "float64", "h of the donors"),
    _CONTINUATION,
    estimate("corrected", "that score"),
    estimate("necessity", "as in `causal/effects.parquet`"),
    estimate("sufficiency", "as in `causal/effects.parquet`"),
    estimate("effect", "as in `causal/effects.parquet`, nats"),
    column(
        "verdict",
        "string",
        "`encoded and used`, `encoded, unused`, `neither` or `cannot tell`, by "
        "[the rules](statistics.md#used-or-merely-present)",
    ),
    column("reason", "string", "the measurement that decided it"),
)
HEADLINE = document(
    "causal/headline.json",
    "The finding that passes its own controls and that a reader would want first. Null where no finding passes.",
    key("sentence, numbers, rule", "the claim, the numbers behind it, and the rule by which it was chosen"),
    key(
        "site, feature, resolution, bandwidth, method, targets, ess",
        "the score that the claim rests on, as in `results.parquet`",
    ),
    key("score", "its estimates, chance level and q-value"),
    key(
        "finest",
        "the same at the smallest bandwidth at which they pass, with resolution, bandwidth, method and targets",
    ),
    key("used", "the verdict, necessity and bandwidths of `used.parquet` at this site"),
    key("controls", "of each control: its corrected score, and `passed`, `failed` or `not available`"),
    key("depth", "change over the layers: its kind, first and last site that encodes the feature, number of sites"),
    key("generator", "verdict on the generator here, and the corrected score of its weighted samples"),
    key("levels", "resolutions and bandwidths at which a score counts, and those at which it is above chance"),
    key(
        "considered",
        "number of places with a score, with one that counts, above chance where the null feature is too, above chance "
        "by the source itself alone, above chance otherwise, and passing the controls",
    ),
)

CAUSAL = Room(
    "causal",
    "The source inputs, run again with another activation at one site.",
    (RUNS, PARTS, EFFECTS, USED, HEADLINE),
)
