"""Records of the step `verify`: every draw read again, with its distance, weight and labels."""

from __future__ import annotations

from inversescope.records.record import Room, column, table
from inversescope.records.sample import DRAW, LOG_Q

MEASURED = table(
    "verify/part-NNNNN.parquet",
    "One row a draw of up to 2,048 distinct inputs, so that a resumed run need not read them again. Inputs that were "
    "collected are not among them: their activations are in `collect/`.",
    column("row", "int64", "row among the draws"),
    column("distance", "float64", "δ between its activation and the target"),
    always=False,  # every draw may be collected
)
SAMPLES = table(
    "verify/samples.parquet",
    "One row a draw, run back through the subject, and for each of the generator's sites a row an edit. `site` is "
    "where the sample was read again; null for `no condition`.",
    *DRAW,
    column("text", "string?", "`tokens` for people; null where they are"),
    LOG_Q,
    column("log_prior", "float64?", "ln P of the sample, in nats; null where P is not known"),
    column("verified", "bool", "whether it could be run back through the subject"),
    column("distance", "float64?", "δ between the sample's activation and the target; null if unverified"),
    column(
        "weight",
        "float64?",
        "only for `generator`: importance weight, Pareto-smoothed; an input that was drawn several times has its whole "
        "weight at its first draw and 0 at the others; the weights of one target, site and bandwidth sum to 1. The "
        "weight before smoothing follows from the other columns, see "
        "[the method](statistics.md#from-draws-to-evidence)",
    ),
    column("times", "int32", "number of equal draws of one target, at the first of them; 0 at the others"),
    column(
        "pareto_k",
        "float64?",
        "only for `generator`: shape k̂ of the tail of those weights before smoothing, by distinct inputs; the same for "
        "all samples of one target, site and bandwidth; null where there is no tail to fit",
    ),
    column("unreliable", "bool", "k̂ is above min(1 − 1/log10(n), 0.7) for n distinct inputs"),
    column(
        "log_normaliser",
        "float64?",
        "only for `generator`: ln Ẑ, the estimate of Σ P(x) k(δ/h) from the target's distinct inputs, in nats; null "
        "where nothing has weight",
    ),
    column(
        "log_floor",
        "float64?",
        "only for `generator`: ln P(x̂)·k(0), the source's own term of that sum, in nats; null where nothing is known "
        "of P",
    ),
    column(
        "left_out",
        "string?",
        "only for `generator`: why the target counts in no mean at this site and bandwidth: `no draw has weight`, "
        "`the draws missed the mass`, `the weights rest on too few inputs`, or `no draw is near`; see "
        "[the method](statistics.md#targets-that-are-left-out)",
    ),
    column("accepted", "bool", "δ at most 0.1"),
    column("source", "bool", "the draw is the target's own source input"),
    column("in_train", "bool", "whether the generator saw this very input in training"),
    labels=True,
)

VERIFY = Room("verify", "", (SAMPLES, MEASURED))
