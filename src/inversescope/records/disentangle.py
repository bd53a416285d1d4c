"""Records of `inversescope disentangle`: RAVEL's causal metric."""

from __future__ import annotations

from dataclasses import replace

from inversescope.records.record import RESOLUTION, SEAL, SITE, Room, column, document, estimate, key, table

_METHOD = column(
    "method",
    "string",
    "whose activation is put in: `samples`, `samples, matched`, `samples, means`, `pool`, `pool, matched`, "
    "`pool, means`, `pool, shuffled`, `own` or `nothing`",
)
RUNS = table(
    "disentangle/runs.parquet",
    "One row a site, method, attribute, asked attribute and target, over sources and prompts.",
    SITE,
    _METHOD,
    column("attribute", "string", "the attribute in which the sources differ from the target"),
    column("asked", "string", "the attribute in question"),
    column("target", "int64", "row in the split `target`"),
    column("pairs", "int64", "answers: sources times prompts"),
    column("source, base", "float64", "share of them that are the source's value, and the target's own"),
)
PARTS = replace(
    RUNS,
    path="disentangle/part-NNNNN.parquet",
    about="The rows of `runs.parquet` of a site, so that an interrupted command goes on from there.",
    always=False,
)
RESULTS = table(
    "disentangle/results.parquet",
    "One row a site, method and attribute, and one over all attributes. Intervals are over targets.",
    SITE,
    _METHOD,
    column("attribute", "string?", "the attribute; null: over all, of each target the mean"),
    column("point", "string", "the site's point"),
    column("layer", "int32?", "its layer; null where a point has none, and where several sites are read as one"),
    column("head", "int32?", "its head; null where a point has none"),
    column("resolution", "float64?", RESOLUTION),
    column("bandwidth", "float64", "h of the samples"),
    column("targets", "int64", "targets with a source"),
    column("pairs", "int64", "answers to questions for the attribute itself"),
    estimate("cause", "share of answers that are the source's value"),
    estimate(
        "isolate",
        "share of answers to questions for other attributes that are still the target's value, mean over these "
        "attributes; null for `pool, shuffled`",
    ),
    estimate("disentangle", "mean of the two, over targets that have both"),
)
ISOLATION = table(
    "disentangle/isolation.parquet",
    "One row a site, method, attribute and other attribute: `isolate` apart.",
    SITE,
    _METHOD,
    column("attribute", "string", "the attribute in which the sources differ from the target"),
    column("asked", "string", "the other attribute"),
    column("targets, pairs", "int64", "targets with a source that differs in it, and answers"),
    estimate("isolate", "share of answers that are still the target's value"),
)
QUESTIONS = document(
    "disentangle/questions.json",
    "How many questions count.",
    key("targets", "targets used"),
    key(
        "attributes",
        "for each, how many `questions` there are over targets and prompts, and how many are answered `right` as they "
        "are: only these count",
    ),
    key("left_out", "sites that cannot be set, with the reason"),
)
BEGUN = document(
    "disentangle/begun.json",
    "The samples that the folder stands on, by the hash of their manifests; other ones are refused.",
    key("collect, verify", "SHA-256 of the manifest of each step"),
    SEAL,
)

DISENTANGLE = Room(
    "disentangle",
    "Made by `inversescope disentangle`: [RAVEL's causal metric](statistics.md#cause-isolate-disentangle), for tasks "
    "that ask questions.",
    (RUNS, PARTS, RESULTS, ISOLATION, QUESTIONS, BEGUN),
    on_request=True,
)
