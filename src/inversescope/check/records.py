"""Records of checked claims in a run: rows of `records.check`, in place of those of an earlier call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from inversescope import files, records
from inversescope.check.checked import Checked
from inversescope.errors import UserError
from inversescope.propose.endpoint import Replies
from inversescope.propose.judge import Judged

FOLDER = "check"
STANDS_ON = ("collect", "train", "verify")  # the last one only where it is done: draws for other targets


def state(run: Path) -> dict[str, str]:
    """State of the steps that verdicts stand on; it is read before the run is opened."""
    return files.states(run, *(step for step in STANDS_ON if files.finished(run / step)))


def require_same(run: Path, made_from: Mapping[str, str]) -> None:
    """Compare the run with what it was when it was opened: nothing is locked while activations are inverted.

    Raises:
        UserError: another process has made a step again, or taken it away.
    """
    if state(run) != made_from:
        raise UserError(
            "the run has changed while claims were checked, and nothing was judged or kept",
            given=run,
            remedy="finish the run, and start the same command again",
        )


def replies(run: Path) -> Replies:
    """All replies of the language model that judged claims of a run."""
    return Replies(run / FOLDER / "replies")


def write(
    run: Path,
    checked: Checked,
    claims: Path,
    made_from: Mapping[str, str],
    *,
    unused: Mapping[str, int] | None = None,
    judged: Sequence[Judged] = (),
    model: str | None = None,
) -> Path:
    """Write the claims, the answers of the judge, and their origin; the folder.

    Args:
        claims: the file that they are from.
        made_from: state of the run when it was opened.
        unused: parts of it that were not used, each with its number.
        model: the language model.
    """
    folder = run / FOLDER
    (folder / files.MANIFEST).unlink(missing_ok=True)  # an interruption from here on leaves no wrong hashes
    made = records.check
    tables = {made.CLAIMS: files.plain([each.record() for each in checked])}
    if judged:
        tables[made.JUDGED] = [vars(answer) for answer in judged]
    for record, rows in tables.items():
        files.write_table(folder / record.name, record.of(rows))
    summary = {
        "made_by": dict(checked.made_by),
        "claims": {"file": claims.name, "sha256": files.sha256(claims)},
        "counts": checked.counts,
        "unused": dict(unused or {}),
        "model": model,
    }
    files.write_json(folder / made.SUMMARY.name, made.SUMMARY.of(summary))
    written = [folder / record.name for record in (*tables, made.SUMMARY)]
    if not judged:
        (folder / made.JUDGED.name).unlink(missing_ok=True)
    files.finish(folder, written, made_from=made_from)
    return folder
