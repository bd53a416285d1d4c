"""Records of the step `mine`: hypotheses that were found on half of the targets, confirmed on the rest."""

from __future__ import annotations

from inversescope.records.record import LEVEL, SITE, Room, column, document, estimate, key, table

HYPOTHESES = table(
    "mine/hypotheses.parquet",
    "One row a hypothesis that was found at a site and bandwidth on half the targets. Every number but `discovery` is "
    "of the other half alone. See [the method](statistics.md#finding-a-hypothesis).",
    SITE,
    *LEVEL,
    column("rank", "int32", "its place on discovery, from 1"),
    column(
        "hypothesis",
        "string",
        "a feature of the task by its name, an expression in the [language of features](features.md#the-language), or "
        "`topic cluster`: the topics of the pool, as `words` lists them",
    ),
    column("words", "string", "the same in words"),
    column(
        "discovery, discovery_low",
        "float64",
        "corrected score on the discovery targets, and the lower end of its interval, by which it is ranked",
    ),
    column("chance", "float64?", "its chance level"),
    estimate("corrected", "corrected score on the confirmation targets"),
    estimate("bits", "drop in its entropy, bits, as in `score/results.parquet`"),
    column("p_value", "float64?", "of its own samples against those of shuffled targets, exact"),
    column(
        "q_value",
        "float64?",
        "the share of false discoveries among all hypotheses of the run that are at least as sure",
    ),
    estimate("others", "corrected score on the same targets among samples other than the source"),
    column("others_targets", "int64", "targets at which it is defined"),
    column("source_alone", "bool", "`corrected` is above chance and `others` is not, or is undefined"),
    column("significant", "bool", "q is at most 0.05, the null feature does not pass, and not `source_alone`"),
    column(
        "null_passes",
        "bool?",
        "the null feature is above chance by the weighted samples at this site and bandwidth, as in "
        "`score/results.parquet`",
    ),
    column("targets", "int32", "confirmation targets used"),
    column("collapsed", "int32", "confirmation targets left out because their weights collapsed"),
    column("merged", "list of string", "hypotheses that were found too, and say the same or nothing more"),
)
SEARCH = document(
    "mine/search.json",
    "How the hypotheses were found.",
    key("tried", "candidates that were tried"),
    key("distinct", "of these, those that tell inputs apart, each in its own way"),
    key("confirmed", "hypotheses in the table"),
    key("discovery, confirmation", "rows of the targets on which they were found, and confirmed"),
    key(
        "annotators",
        "part of speech, sentiment, topic (of these the ones that were there): the library and model, with versions",
    ),
    key("not_tried", "those of them that were not there: what to install"),
)
MINE = Room("mine", "", (HYPOTHESES, SEARCH))
