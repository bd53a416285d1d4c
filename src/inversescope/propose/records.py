"""Records of proposed hypotheses: rows of `records.propose`, beside those of other sites."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from inversescope import files, records
from inversescope.errors import UserError
from inversescope.propose.endpoint import Address, Replies
from inversescope.propose.proposing import Outcome, Plan, Scored
from inversescope.stats import intervals, resampling
from inversescope.stats.intervals import Estimate, defined

FOLDER = "propose"
_ESTIMATES = ("fcr", "corrected", "bits", "shuffled")


def require_same(run: Path) -> None:
    """Refuse hypotheses from samples that have been made again since.

    Raises:
        UserError: they have, or a record was changed.
    """
    folder = run / FOLDER
    if files.finished(folder) and files.manifest(folder)["made_from"] != _made_from(run):
        raise UserError(
            "the run was verified again, and its proposed hypotheses still stand on the old samples",
            given=folder,
            remedy=f"delete the folder {folder}",
        )


def replies(run: Path) -> Replies:
    """All replies of a run's endpoint."""
    return Replies(run / FOLDER / "replies")


def write(run: Path, plan: Plan, address: Address, outcome: Outcome, prices: tuple[float, float] | None) -> Path:
    """Write the rows of this site, bandwidth and model in place of earlier ones (of the same questions, if only these
    are in the plan), and the usage; the q-values are over everything in the table. Gives back the folder.
    """
    folder = run / FOLDER
    key = {"site": plan.split.site, "bandwidth": plan.split.bandwidth, "model": address.model}
    proposals = [
        key | _proposal(number, scored, plan, outcome) for number, scored in enumerate(outcome.scored, start=1)
    ]
    roles = plan.held_out.roles
    judged = [
        key | {"kind": row.kind, "question": row.question, "text": row.text, "role": roles[row.text]}
        | {"answer": row.answer, "truth": row.truth} for row in outcome.judged
    ]  # fmt: skip
    tables = {
        "proposals": [*_others(folder, "proposals", key, "feature", plan.questions), *proposals],
        "judged": [*_others(folder, "judged", key, "question", plan.questions), *judged],
    }
    p_values = np.array(
        [np.nan if row["p_value"] is None else row["p_value"] for row in tables["proposals"]], dtype=float
    )
    for row, q in zip(tables["proposals"], resampling.q_values(p_values).tolist(), strict=True):
        row["q_value"] = defined(q)
    (folder / files.MANIFEST).unlink(missing_ok=True)  # an interruption from here on leaves no wrong hashes
    for record in (records.propose.PROPOSALS, records.propose.JUDGED):
        files.write_table(folder / record.name, record.of(tables[record.name.removesuffix(".parquet")]))
    files.write_json(folder / "usage.json", records.propose.USAGE.of(_usage(run, address, outcome, prices)))
    names = ("proposals.parquet", "judged.parquet", "usage.json")
    files.finish(folder, [folder / name for name in names], made_from=plan.split.made_from)
    return folder


def cost(tokens: tuple[int, int], prices: tuple[float, float] | None) -> float | None:
    """Cost of tokens in and out at prices per million."""
    return None if prices is None else sum(n * price for n, price in zip(tokens, prices, strict=True)) / 1e6


def _proposal(number: int, scored: Scored, plan: Plan, outcome: Outcome) -> dict[str, Any]:
    accuracy = outcome.accuracy if scored.hypothesis.kind == "question" else None
    scores = dict.fromkeys(("targets", "samples", "undecided", "chance", "p_value", *_fields(intervals.UNDEFINED)))
    for name, value in scored.scores.items():
        scores |= _fields(value, name) if isinstance(value, Estimate) else {name: _number(value)}
    return {
        "hypothesis": number,
        "words": scored.hypothesis.words,
        "kind": scored.hypothesis.kind,
        "feature": scored.hypothesis.feature,
        "status": scored.status,
        "reason": scored.reason,
        "shown": [case.target for case in plan.split.shown],
        "collapsed": plan.split.collapsed,
        "null_passes": plan.split.null_passes,
        "unparsed": scored.unparsed,
        "known": accuracy and accuracy.n,
        "sensitivity": accuracy and accuracy.sensitivity,
        "specificity": accuracy and accuracy.specificity,
        "repeated": scored.repeated,
        "negated": scored.negated,
    } | scores


def _usage(run: Path, address: Address, outcome: Outcome, prices: tuple[float, float] | None) -> dict[str, Any]:
    came = replies(run).all()
    tokens = (sum(reply.prompt_tokens for reply in came), sum(reply.reply_tokens for reply in came))
    return {
        "base_url": address.base_url,
        "model": address.model,
        "calls": len(came),
        "requests": sum(reply.attempts for reply in came),
        "prompt_tokens": tokens[0],
        "reply_tokens": tokens[1],
        "estimated": any(reply.estimated for reply in came),
        "unparsed": outcome.unparsed,
        "malformed": outcome.malformed,
        "stopped": outcome.problem,
        "cost": cost(tokens, prices),
    }


def _others(
    folder: Path, name: str, key: dict[str, Any], column: str, questions: Sequence[str]
) -> Iterable[dict[str, Any]]:
    """The rows of other sites, bandwidths and models; and of other features, where the plan has only questions."""
    path = folder / f"{name}.parquet"
    if not path.exists():
        return []
    same = pc.field("site") == key["site"]
    for column_name in ("bandwidth", "model"):
        same &= pc.field(column_name) == key[column_name]
    if questions:
        same &= pc.field(column).isin(list(questions))
    return files.read_table(path).filter(~same).to_pylist()


def _made_from(run: Path) -> dict[str, str]:
    return files.states(run, "collect", "verify")


def _fields(estimate: Estimate, *names: str) -> dict[str, float | None]:
    """The three columns of an estimate, of every estimate if none is named."""
    ends = zip(("", "_low", "_high"), estimate, strict=True)
    return {f"{name}{end}": defined(value) for end, value in ends for name in names or _ESTIMATES}


def _number(value: float) -> float | int | None:
    return value if isinstance(value, int) else defined(value)
