"""Records of the step `calibrate`: the generator beside the truth."""

from __future__ import annotations

from inversescope.records.record import LEVEL, SITE, Room, column, document, estimate, key, table

_QUESTION = (
    SITE,
    *LEVEL,
    column("query", "string", "`clean`: the activation itself; `noisy`: seen through the channel"),
)
CALIBRATION = table(
    "calibrate/calibration.parquet",
    "One row a site, bandwidth and query.",
    *_QUESTION,
    column("targets", "int64", "stand-ins used"),
    column(
        "ess",
        "float64?",
        "number of draws that the estimate of the posterior is worth, harmonic mean over them; null where it is a sum",
    ),
    estimate(
        "kl",
        "Kullback-Leibler divergence from the posterior to the generator, nats, mean over stand-ins; null where the "
        "prior is not known, or `ess` is below 30",
    ),
    column("kl_worst", "float64?", "the largest of any stand-in, nats"),
    estimate("tv", "total variation between the two, 0 to 1"),
    column("score_unseen", "float64?", "mean −ln q of a stand-in's neighbours that training never saw, nats"),
    column("score_trained", "float64?", "the same of its training neighbours"),
    column(
        "score_prior", "float64?", "mean −ln P of the unseen neighbours; of q without a condition where P is not known"
    ),
    column("score_kernel", "float64?", "the same of kernel weights over the training inputs, mixed with the prior"),
    estimate("generalisation", "score of unseen over training neighbours, each beyond the posterior's own; nats"),
    estimate("in_training", "share of the draws that are training inputs"),
    column("in_training_expected", "float64", "the same of the posterior"),
    estimate("copied", "the first share minus the second, or minus the prior's share where that is larger"),
    column(
        "verdict",
        "string",
        "`calibrated`, `copies`, `undertrained` or `cannot tell`, by [the rules](statistics.md#verdicts)",
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
PART = document(
    "calibrate/part-NNNNN.json",
    "Rows of one site, so that a resumed run need not measure them again.",
    key("rows", "its rows of `calibration.parquet`"),
    key("gaps", "its rows of `gaps.parquet`"),
    always=False,  # there may be no generator
)
VERDICTS = document(
    "calibrate/verdicts.json",
    "The verdicts counted, and the null condition.",
    key("truth", "`exact` or `pool`"),
    key("counts", "number of rows of `calibration.parquet` with each verdict"),
    key(
        "prior",
        "the null condition beside the prior: `kl`, `tv` (null unless the prior is known), `p_value` of a two-sample "
        "test; all of it null without a generator",
    ),
)

CALIBRATE = Room(
    "calibrate",
    """The generator beside the posterior, for inputs of the pool that stand in for targets. Where the pool is the whole
prior the posterior is a sum; else it is estimated from the training inputs and the rest of the pool. Where the
generator has no noise channel of the run's distance and kernel, the posterior is the one that it draws for
([which](statistics.md#distances-and-kernels)); `bandwidth` is that of the level all the same.""",
    (PART, CALIBRATION, GAPS, VERDICTS),
)
