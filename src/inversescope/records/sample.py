"""Records of the step `sample`: draws, before they are read again."""

from __future__ import annotations

from inversescope.records.record import RESOLUTION, Room, column, table

DRAW = (
    column(
        "method",
        "string",
        "`generator` (conditioned on a target), `no condition`, or `edits` (an edit of the target's source input)",
    ),
    column("site", "string?", "the site of the condition; null where there is none"),
    column("resolution", "float64?", RESOLUTION),
    column("bandwidth", "float64?", "h; null for `no condition` and `edits`"),
    column("target", "int32", "row in the split `target`"),
    column("sample", "int32", "number of the draw for this target"),
    column(
        "tokens",
        "list of int32?",
        "the sample, prefix included; null where it never ended, or nothing could be edited",
    ),
)
LOG_Q = column(
    "log_q",
    "float64?",
    "ln q of the sample under its condition, in nats; null for `edits`, of which no q is known",
)
DRAWS = table(
    "sample/part-NNNNN.parquet",
    "One row a draw. Each file has the draws of one site; then come those without a condition, and last the edits of "
    "the targets' source inputs, which belong to no site.",
    *DRAW,
    LOG_Q,
)

SAMPLE = Room("sample", "", (DRAWS,))
