"""Records of the step `calibrate`: the generator beside the truth."""

from __future__ import annotations

from inversescope.records.record import Room, column, document, estimate, key, table

_QUESTION = (
    column("site", "string", "the site"),
    column("bandwidth", "float64", "h"),
    column("query", "string", "`clean`: the activation itself; `noisy`: seen through the channel"),
)
CALIBRATION = table(
    "calibrate/calibration.parquet",
    "One row a site, bandwidth and query.",
    *_QUESTION,
    column("targets", "int64", "stand-ins used"),
    column("ess", "float64", "effective sample size of the truth, median over them"),
    estimate("kl", "Kullback-Leibler divergence from the truth to the generator, nats, mean over stand-ins"),
    column("kl_worst", "float64?", "the largest of any stand-in, nats"),
    estimate("tv", "total variation between the two, 0 to 1"),
    column(
        "verdict", "string", "`calibrated`, `undertrained` or `cannot tell`, by [the rules](statistics.md#verdicts)"
    ),
    column("reason", "string", "the measurement that decided it"),
)
GAPS = table(
    "calibrate/gaps.parquet",
    "One row a site, bandwidth, query and feature.",
    *_QUESTION,
    column("feature", "string", "the feature"),
    estimate("gap", "how much oftener the draws share the stand-in's label than the truth does, −1 to 1"),
)
VERDICTS = document(
    "calibrate/verdicts.json",
    "The verdict on each site.",
    key("truth", "`exact` or `pool`"),
    key("sites", "for each site and query the `judgement` and its `reason`"),
    key(
        "prior",
        "the null condition beside the prior: `kl`, `tv` (null unless the prior is known), `p_value` of a two-sample "
        "test",
    ),
)

CALIBRATE = Room(
    "calibrate",
    """The generator beside the truth, for inputs of the pool that stand in for targets. Where the pool is the whole
prior the truth is the exact distribution; else it is the reference from the rest of the pool, and divergences are
null.""",
    (CALIBRATION, GAPS, VERDICTS),
)
