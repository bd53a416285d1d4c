"""Results of activation oracles: answers of a model to questions about activations, one a token.

The layout is that of the evaluations in github.com/adamkarvonen/activation_oracles (taboo_full_open_ended_eval.py,
commit 6c0bb3b): `records` (later `results`), each with `context_prompt`, `investigator_prompt` (later
`verbalizer_prompt`), `act_key` (`orig`, `lora`, or their difference `diff`), `token_responses` by token,
`full_sequence_responses`, `segment_responses` and `context_input_ids`; `meta` or `config` has `active_layer`, whose
residual stream was read.
"""

from __future__ import annotations

from typing import Any

from inversescope.check.readouts.readout import Imported, Rows, Where

NAME = "activation oracles"
WHOLE = ("full_sequence_responses", "segment_responses")  # about many activations at once


def _records(row: dict[str, Any]) -> list[dict[str, Any]]:
    listed = row.get("records") or row.get("results") or []
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def recognises(rows: Rows) -> bool:
    """True for its results."""
    records = _records(rows[0])
    return bool(records) and {"context_prompt", "act_key", "token_responses"} <= set(records[0])


def read(rows: Rows, where: Where, found: Imported) -> None:
    """Add the answer at each token. `lora` is taken to be the run's own model."""
    for row in rows:
        settings = row.get("meta") or row.get("config") or {}
        layer = settings.get("active_layer")
        site = None if layer is None else f"resid_post.{layer}"
        for record in _records(row):
            for name in WHOLE:
                if record.get(name):
                    found.unused["an answer about many tokens at once"] += len(record[name])
            if record.get("act_key") == "diff":
                found.unused["an answer about a difference of activations"] += len(record["token_responses"])
                continue
            question = record.get("verbalizer_prompt") or record.get("investigator_prompt") or ""
            context = record["context_prompt"]
            text = [{"role": "user", "content": context}] if isinstance(context, str) else context
            for position, answer in enumerate(record["token_responses"]):
                claim = f"The answer to {question!r} is {answer.strip()!r}." if answer and answer.strip() else ""
                found.add(claim, where, site, text=text, position=position)
