"""Records of `inversescope arena`: inversion beside other methods."""

from __future__ import annotations

from dataclasses import replace

from inversescope.records import sample, verify
from inversescope.records.record import RESOLUTION, Record, Room, Table, column, document, estimate, key, table

ANSWERS = table(
    "arena/METHOD/answers.parquet",
    "One row a site, feature, bandwidth and target whose label is decided.",
    column("site, feature", "string", "the site, the feature"),
    column("bandwidth", "float64?", "h; null where the method has none"),
    column("target", "int64", "row in the split `target`"),
    column("label", "string", "the target's own label"),
    column("answer", "string?", "the likeliest label; null where the method gave none"),
    column("hit", "float64", "1, 0, or 1/k where k labels are equally likely"),
    column("share", "float64", "probability of the target's own label"),
    column("confidence", "float64", "probability of the likeliest label"),
    column("chance", "float64", "the prior's share of the target's label"),
    column("ess", "float64?", "effective sample size of the weighted inputs; null where there are none"),
    column("silent", "bool", "whether the method gave no answer, and the prior stands in"),
)
RESULTS = table(
    "arena/results.parquet",
    "One row a method, site, feature and bandwidth; then one a method and feature over sites, one a method and site "
    "over features, and one a method over all.",
    column("method", "string", "the method"),
    column("site, feature", "string?", "null: over all; of each site and feature the row that is `chosen`"),
    column("resolution", "float64?", f"{RESOLUTION}, and as below"),
    column("bandwidth", "float64?", "h; null where the method has none, and over all"),
    column(
        "chosen",
        "bool",
        "whether this bandwidth counts for its site and feature: the smallest at which the method answers for half of "
        "the targets",
    ),
    column("targets", "int64", "targets with a label"),
    column("answers", "int64", "questions: targets times sites and features"),
    column("silent", "int64", "of these, how often the method gave no answer"),
    estimate("accuracy", "share of questions whose likeliest label is the target's own, ties split"),
    estimate("corrected", "corrected score of the probability of the target's own label"),
    estimate(
        "above_ending",
        "share of the target's own label minus that among inputs of the pool with its last tokens, of which as little "
        "is left as at the finest level that the reference can check",
    ),
    estimate(
        "gap",
        "calibration gap: share minus the reference's at the same bandwidth, where that is worth 30 inputs; over all, "
        "its mean size",
    ),
    estimate("calibration_error", "expected calibration error in ten bins of confidence; only over all"),
    estimate(
        "causal_agreement",
        "Spearman correlation of the corrected score and the causal effect over sites and features; only over all",
    ),
    column("chance", "float64?", "the prior's share of the targets' labels"),
    column("ess", "float64?", "effective sample size, median over targets"),
)
PAIRS = table(
    "arena/pairs.parquet",
    "One row for each two methods, site, feature and measure.",
    column("one, other", "string", "the methods"),
    column("site, feature", "string?", "null: over all"),
    column("measure", "string", "`accuracy` or `share` (probability of the target's own label)"),
    column("targets", "int64", "targets that both are compared on"),
    estimate("difference", "of `one` over `other`, mean over targets"),
    column("p", "float64?", "two-sided, by flipping the signs of targets"),
    column("q", "float64?", "the same, adjusted over all rows (Benjamini and Hochberg)"),
    column(
        "ahead",
        "string?",
        "the method that is ahead by the whole interval; `level` where all of it lies within ± 0.05, else "
        "`cannot be told apart`",
    ),
)
METHODS = document(
    "arena/methods.json",
    "The study, and each method with its cost.",
    key("subject, task, targets, sites, features, seed", "the study"),
    key("budget", "seconds that a generator might train"),
    key("longest", "seconds that a method might train which ends by itself where it no longer improves"),
    key("causal", "where causal effects are from, or why there are none"),
    key(
        "methods",
        "for each `name`, `kind`, `supervised`, `sees`; `training` and `answering` in seconds, `memory` in bytes; "
        "`steps` of training, `fits` (trainings) and how many of them were `cut`: ended by the time, not where they no "
        "longer improved; `new`: distinct verified inputs within the reference's typical distance that are neither the "
        "source nor training inputs, `new_per_second` of drawing and verifying, and `new_per_second_with_training` "
        "(null: it draws none, or they were not verified); `notes`",
    ),
)


def _of_method(table: Table, name: str, about: str) -> Table:
    """The same columns in the folder of a method."""
    return replace(table, path=f"arena/METHOD/{name}.parquet", about=about, always=False)


ARENA = Room(
    "arena",
    """Made by `inversescope arena`: inversion beside [the methods one would use instead](arena.md). Each method owns a
folder of its name, with `-` for spaces, and a manifest in it that names the seed and the budget of its answers. A
generator that was trained for the arena has its draws there too.""",
    (
        ANSWERS,
        _of_method(sample.DRAWS, "drawn", "The draws of a generator that was trained here."),
        _of_method(verify.MEASURED, "part-NNNNN", "Their distances."),
        _of_method(verify.SAMPLES, "samples", "The draws, verified."),
        RESULTS,
        PAIRS,
        METHODS,
        Record("arena/.lock", "empty; locked by the process that writes here", always=False),
        Record("arena/.writer", "the number of that process, while it writes", always=False),
        Record("arena/arena.html", "the tables as a page"),
        Record("arena/arena.tex", "the tables for LaTeX (package booktabs)"),
    ),
    on_request=True,
)
