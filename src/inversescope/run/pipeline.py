"""The steps of a run in order, and the manifests that let an interrupted run go on as if nothing had happened."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from inversescope import files
from inversescope.calibrate import calibrate
from inversescope.causal import causal
from inversescope.cluster import parts
from inversescope.collect import accuracy, collect, reference
from inversescope.collect.store import OpenRun
from inversescope.errors import UserError
from inversescope.natural_text.evaluation import evaluation
from inversescope.progress import Progress
from inversescope.report import page
from inversescope.run import locks
from inversescope.run.sealed import PROVENANCE, read_provenance
from inversescope.sample import sample, verify
from inversescope.score import mine, score
from inversescope.train import train
from inversescope.verdicts import NO_GENERATOR


def _train(run: OpenRun, folder: Path, progress: Progress) -> None:
    """The step `train`, which calibration ends: neither folder knows the other's step. Nothing without a generator."""
    config = run.config
    if not run.sites["train"]:
        progress(1, 1, NO_GENERATOR)
        return
    check = calibrate.check(run.store, run.task, config.calibrate, run.levels, run.seed)
    train.step(run, folder, progress, check)


STEPS: dict[str, Callable[[OpenRun, Path, Progress], None]] = {
    "task": accuracy.step,
    "collect": collect.step,
    "reference": reference.step,
    "train": _train,
    "calibrate": calibrate.step,
    "sample": sample.step,
    "verify": verify.step,
    "score": score.step,
    "mine": mine.step,
    "causal": causal.step,
    "text": evaluation.step,
    "report": page.step,
}
LAST = list(STEPS)[-1]
CUT = ("collect", "reference", "calibrate", "sample", "verify", "score", "mine", "causal", "text")  # into units


def finished(run: Path, step: str) -> bool:
    """True if a step is done; the last one, once the run's own manifest is written."""
    return files.finished(run / step) and (step != LAST or files.finished(run))


def do(run: OpenRun, step: str, progress: Progress) -> None:
    """Do one step, from where an interruption left it; see `Run.do`."""
    with locks.only_writer(run.folder):
        _do(run, step, progress)


def do_share(run: OpenRun, step: str, share: parts.Share, progress: Progress) -> None:
    """Do a share of a step's units; see `Run.do_share`."""
    if step not in CUT:
        raise UserError("this step is not cut into units", given=step, allowed=", ".join(CUT))
    folder = run.folder / step
    with locks.one_of_several(run.folder, f"{step}-{share.name}"), suppress(parts.ShareDone):
        made_from = _made_from(run.folder, step)
        folder.mkdir(exist_ok=True)
        parts.begin(folder, made_from, share)
        STEPS[step](run, folder, progress)


def _do(run: OpenRun, step: str, progress: Progress) -> None:
    made_from = _made_from(run.folder, step)
    folder = run.folder / step
    folder.mkdir(exist_ok=True)
    (folder / files.MANIFEST).unlink(missing_ok=True)  # a report that is written again
    files.clear(run.folder)
    files.clear(folder)
    parts.begin(folder, made_from)
    STEPS[step](run, folder, progress)
    if step != LAST:  # the report shows the seconds of the others
        made_by = read_provenance(run.folder)
        made_by["seconds"][step] = round(parts.seconds(folder), 1)
        files.write_sealed(run.folder / PROVENANCE, made_by)
    files.finish(folder, _outputs(folder), step=step, made_from=made_from)
    parts.end(folder)
    if step == LAST:
        files.finish(run.folder, [run.folder / name / files.MANIFEST for name in STEPS], steps=list(STEPS))


def _made_from(run: Path, step: str) -> dict[str, str]:
    """The steps before this one with the hashes of their manifests, after checking that they are done and fit. Their
    files are compared with their hashes where they are read.
    """
    hashes: dict[str, str] = {}
    for before in itertools.takewhile(lambda name: name != step, STEPS):
        if not finished(run, before):
            raise UserError(
                f"step {step} needs step {before}, which is not done",
                given=run,
                remedy=f"inversescope step {run} {before}",
            )
        parts.end(run / before)  # left where the process was killed at the very end
        made_from = files.manifest(run / before)["made_from"]
        if made_from != hashes:
            changed = next(name for name in hashes | made_from if made_from.get(name) != hashes.get(name))
            raise UserError(
                f"step {changed} was done again with another result, and step {before} still stands on the old one",
                given=f"{changed} {hashes.get(changed)}",
                allowed=f"{changed} {made_from.get(changed)}",
                remedy=f"delete the folder {run / before} and start again with --resume",
            )
        hashes[before] = files.sha256(run / before / files.MANIFEST)
    return hashes


def _outputs(folder: Path) -> list[Path]:
    """The files of a step; those whose name starts with a dot are being written."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.name != files.MANIFEST and not path.name.startswith(".")
    )
