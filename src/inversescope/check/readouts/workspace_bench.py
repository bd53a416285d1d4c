"""Readouts of WorkspaceBench: one row an item, layer and position, as prose or as ranked tokens.

The layout is in docs/producing_readouts.md of github.com/camilablank/workspace-bench (commit 13795f8): `id` of the
item, `layer` whose residual stream was read, `pos` in the rendered text (negative: from the end), `token` there, and
`samples` of a prose method or `tokens` with `scores` of a token method. Texts are in the read plan: `id`, `render`,
`text` or `messages`.
"""

from __future__ import annotations

import json
from typing import Any

from inversescope.bounds import read_text
from inversescope.check.readouts.readout import Imported, Rows, Where
from inversescope.errors import UserError

NAME = "WorkspaceBench"
RENDERS = {"plain": "text", "chat": "messages"}  # that a text or a conversation gives as it is


def recognises(rows: Rows) -> bool:
    """True for its rows."""
    return {"id", "layer", "pos"} <= set(rows[0]) and bool({"samples", "tokens"} & set(rows[0]))


def read(rows: Rows, where: Where, found: Imported) -> None:
    """Add each sample, and of ranked tokens the first.

    Raises:
        UserError: the read plan is missing.
    """
    if where.texts is None:
        problem = "readouts of WorkspaceBench name their texts only"
        raise UserError(problem, given="no file with the texts", remedy="--texts PLAN.jsonl (`wsbench plan`)")
    plan = _plan(where.texts)
    for row in rows:
        source = _source(plan.get(str(row.get("id"))))
        if source is None:
            found.unused["an item without a text or conversation in the plan"] += 1
            continue
        tokens = row.get("tokens") or []
        if len(tokens) > 1:
            found.unused["a token behind the first of its rank"] += len(tokens) - 1
        claims = [*(row.get("samples") or []), *(f"it has to do with {str(token).strip()!r}" for token in tokens[:1])]
        position = row["pos"] if isinstance(row["pos"], int) else None
        for claim in claims:
            found.add(claim, where, f"resid_post.{row['layer']}", text=source, position=position)


def _plan(path: Any) -> dict[str, dict[str, Any]]:
    try:
        rows = [json.loads(line) for line in read_text(path, "read plan").splitlines() if line.strip()]
        return {str(row["id"]): row for row in rows}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError("this is no read plan", given=path, allowed='lines with "id", "render", "text"') from error


def _source(item: dict[str, Any] | None) -> Any:
    """The text or conversation of an item of the plan, where it is one as it stands."""
    key = RENDERS.get(str(item.get("render"))) if item else None
    return item.get(key) if item and key and not item.keys() & {"system", "prefill", "suffix", "assistant"} else None
