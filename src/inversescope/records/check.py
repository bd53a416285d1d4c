"""Records of `inversescope check`: claims about activations, with their verdicts."""

from __future__ import annotations

from inversescope.records.record import SEAL, Room, column, document, estimate, key, table

CLAIMS = table(
    "check/claims.parquet",
    "One row a claim. Numbers are null where nothing could be measured, or a control does not exist.",
    column("line", "int64", "line of the file of claims, from 1; 0 where there was none"),
    column("claim", "string", "the claim as it was given"),
    column(
        "verdict",
        "string",
        "`supported`, `contradicted`, `said by the prior alone`, `said by the ending alone`, or `cannot tell`",
    ),
    column("reason", "string", "the measurement that decides it"),
    column("source", "string", "the text up to the position, or the name of a vector"),
    column("site, position, level", "string", "where it was read, and the level of the draws"),
    column("outside", "bool", "the activation is outside of the prior, and nothing is said of it"),
    column(
        "kind",
        "string",
        "origin of the labels: `expression`, `feature` of the run, `classifier`, `judge` (a language model), or `none`",
    ),
    column("feature", "string", "the expression, the name of the feature, or the claim that is judged"),
    column("value", "string?", "the label that is claimed"),
    estimate("share", "share of the verified draws and stored inputs that have the label, by their weights"),
    estimate("others", "the same among those other than the source itself"),
    estimate("prior", "the same among inputs of the prior"),
    estimate("ending", "the same among inputs with the source's last tokens"),
    estimate("targets", "the same among draws for other targets"),
    estimate("beyond_prior", "share minus that of the prior"),
    estimate("beyond_ending", "share minus that of inputs with the same ending"),
    estimate("beyond_targets", "share minus that of draws for other targets"),
    estimate("sufficiency", "effect of activations of inputs with the label, in place of the source's"),
    estimate("necessity", "the same of inputs with another label; both only where the claim is supported"),
    column("shared", "int64?", "last tokens that inputs of the control `ending` share with the source"),
    column("inputs", "float64?", "effective number of decided draws and stored inputs"),
    column("undecided", "float64?", "share of the draws' weight without a label"),
    column("p_value", "float64?", "probability that the prior gives as many draws with the label"),
    column("q_value", "float64?", "the same, adjusted over every claim of the table"),
    column(
        "sensitivity, specificity", "float64?", "share of right answers of the judge where yes, and where no is right"
    ),
    column("known", "int64?", "answers of known truth behind these two"),
    column("repeated, negated", "float64?", "share of answers of the judge that agree when they are given again"),
    column("nearest", "list of string", "the nearest draws"),
)
JUDGED = table(
    "check/judged.parquet",
    "One row an answer of the language model.",
    column("kind", "string", "`held out`, `known`, `repeated` or `negated`"),
    column("question", "string", "the question"),
    column("text", "string", "the text"),
    column("answer", "string?", "`yes`, `no` or `cannot tell`; null where it could not be read"),
    column("truth", "string?", "where it is known"),
    always=False,
)
SUMMARY = document(
    "check/check.json",
    "Origin of the claims and of the draws.",
    key("made_by", "version, model, run and seed"),
    key("claims", "the file of claims, and its SHA-256"),
    key("counts", "number of claims with each verdict"),
    key("unused", "parts of a readout file that were not used, each with its number"),
    key("model", "the language model that judged; null where none did"),
)
REPLY = document(
    "check/replies/HASH.json",
    "A reply of the language model, as in `propose/replies/`.",
    key("request", "the request as it was sent"),
    key("reply", "its text, or null with the problem; attempts and tokens"),
    SEAL,
    always=False,
)
CHECK = Room(
    "check",
    """Claims that were checked ([how](check.md)); there once `inversescope check` was called. The claims of the last
call stand in it.""",
    (CLAIMS, JUDGED, SUMMARY, REPLY),
    on_request=True,
)
