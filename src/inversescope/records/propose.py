"""Records of `inversescope propose`: hypotheses from a language model."""

from __future__ import annotations

from inversescope.records.record import SEAL, SITE, Room, column, document, estimate, key, table

_ASKED = (
    SITE,
    column("bandwidth", "float64", "h"),
    column("model", "string", "the language model"),
)
PROPOSALS = table(
    "propose/proposals.parquet",
    "One row a hypothesis. Numbers are null where `status` is not `scored`.",
    *_ASKED,
    column("hypothesis", "int32", "number, in the order of the replies"),
    column("words", "string", "the hypothesis in words"),
    column("kind", "string", "`expression` or `question`"),
    column("feature", "string", "the expression, or the question"),
    column(
        "status",
        "string",
        "`scored`; `refused`: no expression of the language; `not usable`: the judge cannot be relied on; "
        "`unfinished`: a limit was reached",
    ),
    column("reason", "string?", "why it has no corrected score"),
    column(
        "shown",
        "list of int32",
        "the targets that the model was shown, rows in the split `target`; none of them is scored on",
    ),
    column("targets", "int64?", "held-out targets used"),
    column("collapsed", "int64", "targets neither shown nor held out, because their weights collapsed"),
    column(
        "null_passes",
        "bool?",
        "the null feature is above chance by the weighted samples at this site and bandwidth: nothing is claimed; null "
        "where the run has no scores",
    ),
    column("samples", "int64?", "samples of held-out targets, drawn by their weights"),
    column("undecided", "int64?", "of these, without a label"),
    column("unparsed", "int64", "answers about held-out texts that could not be read; they are undecided too"),
    estimate("fcr", "feature consistency rate, 0 to 1"),
    estimate("corrected", "corrected score: (fcr − chance) / (1 − chance)"),
    estimate("bits", "drop in the feature's entropy, bits"),
    estimate("shuffled", "consistency with the samples of the other held-out targets"),
    column("chance", "float64?", "its chance level, 0 to 1"),
    column("p_value", "float64?", "of consistency against shuffled targets, exact"),
    column("q_value", "float64?", "the same, adjusted over every hypothesis in the table"),
    column("known", "int64?", "answers of yes or no of known truth; null for expressions, as the next four"),
    column(
        "sensitivity, specificity",
        "float64?",
        "share of them that are right where the truth is yes, and where it is no",
    ),
    column(
        "repeated, negated",
        "float64?",
        "share of answers that are the same when asked again, and the opposite when asked the opposite",
    ),
)
JUDGED = table(
    "propose/judged.parquet",
    "One row an answer of the judge.",
    *_ASKED,
    column(
        "kind",
        "string",
        "`held out`; `known`: its truth is known; `repeated`, `negated`: asked again, asked the opposite",
    ),
    column("question", "string", "the question"),
    column("text", "string", "the text"),
    column("role", "string", "`source`, `sample` or `prior`; the judge does not see it"),
    column("answer", "string?", "`yes`, `no` or `cannot tell`; null where it could not be read"),
    column("truth", "string?", "where it is known"),
)
USAGE = document(
    "propose/usage.json",
    "What the language model was used for, and the tokens.",
    key("base_url, model", "the endpoint of the last command"),
    key("calls, requests", "replies in `replies/`, and the requests that they took, repeated ones counted"),
    key("prompt_tokens, reply_tokens", "tokens in and out, by the server's count"),
    key("estimated", "whether some of them are estimated, because the server gave no count"),
    key("unparsed", "replies of the last command in which nothing could be read"),
    key("malformed", "items among its proposals that are no hypothesis"),
    key("stopped", "why it stopped early; null if it did not"),
    key("cost", "of all replies, at the prices given; null where none were"),
)
REPLY = document(
    "propose/replies/HASH.json",
    "A reply, under the hash of its address and request. A request that has a reply is not sent again. No key is in "
    "any file.",
    key("request", "the request as it was sent"),
    key(
        "reply",
        "`text`, or null with the `problem`; `attempts`; `prompt_tokens`, `reply_tokens`, and whether they are "
        "`estimated`",
    ),
    SEAL,
    always=False,
)

PROPOSE = Room(
    "propose",
    """Hypotheses that a language model proposed ([how](hypotheses.md)); there once `inversescope propose` was called.
It is no step: `manifest.json` is written at each call, and names the samples that it stands on. Rows of other sites,
bandwidths and models stay.""",
    (PROPOSALS, JUDGED, USAGE, REPLY),
    on_request=True,
)
