"""A run: the steps in order on its directory, and what lets an interrupted one go on as if nothing had happened."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from functools import lru_cache
from pathlib import Path

from inversescope import files
from inversescope.calibrate.calibrate import calibrate, check
from inversescope.causal.causal import Label, World, causal
from inversescope.causal.used import confirmed, used
from inversescope.collect.collect import collect
from inversescope.collect.reference import reference
from inversescope.errors import UserError
from inversescope.features import parse
from inversescope.report import write_report
from inversescope.run.directory import PROVENANCE, RunDirectory
from inversescope.sample.sample import sample
from inversescope.sample.verify import verify
from inversescope.score.mine import mine
from inversescope.score.score import score
from inversescope.sites import Site
from inversescope.streams import Stream
from inversescope.subject.capture import enough_memory
from inversescope.tasks import Accuracy, require
from inversescope.train.checkpoint import load_generator
from inversescope.train.train import Progress as TrainProgress
from inversescope.train.train import train

ACCURACY_PROMPTS = 100

# Called as work goes on: what is done, of how much, and a remark.
Progress = Callable[[int, int, str], None]


class Run(RunDirectory):
    """A run directory whose steps can be done. Made by `create` (new) or `open` (existing)."""

    def finished(self, step: str) -> bool:
        """Whether a step is done; the last one, once the run's own manifest is written."""
        return files.finished(self.folder / step) and (step != LAST or files.finished(self.folder))

    def do(self, step: str, progress: Progress = lambda done, total, note: None) -> None:
        """Do one step, from where an interruption left it.

        Raises:
            UserError: the steps before it are not done, or a file is not what was written.
        """
        made_from = self._made_from(step)
        folder = self.folder / step
        folder.mkdir(exist_ok=True)
        files.clear(self.folder)
        files.clear(folder)
        started = time.monotonic()
        STEPS[step](self, folder, progress)
        if step != LAST:  # the report shows the seconds of the others
            made_by = files.read_json(self.folder / PROVENANCE)
            made_by["seconds"][step] = round(made_by["seconds"].get(step, 0) + time.monotonic() - started, 1)
            files.write_json(self.folder / PROVENANCE, made_by)
        files.finish(folder, _outputs(folder), step=step, made_from=made_from)
        if step == LAST:
            files.finish(self.folder, [self.folder / name / files.MANIFEST for name in STEPS], steps=list(STEPS))

    def _made_from(self, step: str) -> dict[str, str]:
        """The steps before this one with the hashes of their manifests, after checking that they are done and fit."""
        known: dict[str, str] = {}
        for before in itertools.takewhile(lambda name: name != step, STEPS):
            if not self.finished(before):
                raise UserError(
                    f"step {step} needs step {before}, which is not done",
                    given=self.folder,
                    remedy=f"inversescope {before} {self.folder}",
                )
            made_from = files.check(self.folder / before)["made_from"]
            if made_from != known:
                changed = next(name for name in known | made_from if made_from.get(name) != known.get(name))
                raise UserError(
                    f"step {changed} was done again with another result, and step {before} still stands on the old one",
                    given=f"{changed} {known.get(changed)}",
                    allowed=f"{changed} {made_from.get(changed)}",
                    remedy=f"delete the folder {self.folder / before} and start again with --resume",
                )
            known[before] = files.sha256(self.folder / before / files.MANIFEST)
        return known


def _task(run: Run, folder: Path, progress: Progress) -> None:
    accuracy = run.task.accuracy(run.subject, ACCURACY_PROMPTS, Stream.ACCURACY.rng(run.config.seed))
    measured = dict.fromkeys(each.name for each in fields(Accuracy)) if accuracy is None else asdict(accuracy)
    files.write_json(folder / "accuracy.json", {"defined": accuracy is not None, **measured})
    if accuracy is None:
        return
    progress(1, 1, f"accuracy {accuracy.value:.2f} [{accuracy.low:.2f}, {accuracy.high:.2f}]")
    require(accuracy, force=getattr(run.config.task, "force", False))


def _collect(run: Run, folder: Path, progress: Progress) -> None:
    collect(
        folder,
        run.config.collect,
        run.task,
        run.subject,
        run.sites,
        run.config.seed,
        progress,
    )


def _train(run: Run, folder: Path, progress: Progress) -> None:
    def show(state: TrainProgress) -> None:
        known = "" if state.calibrated is None else f", {state.calibrated} of {len(sites)} sites calibrated"
        speed = f"{state.tokens_per_second:,.0f} tokens/s"
        progress(state.step, state.steps, f"loss {state.nats:.2f} nats, {speed}{known}")

    config, sites = run.config, run.sites["train"]
    checked = check(run.store, run.task.labels, config.calibrate, config.sample.bandwidths, config.seed)
    with enough_memory("training", f"train.batch = {config.train.batch}", "a smaller batch (train.batch)"):
        train(
            folder,
            run.store,
            sites,
            config.generator,
            config.train,
            config.seed,
            run.subject.device,
            show,
            run.subject,
            checked,
            config.sample.bandwidths,
        )
    (folder / "checkpoint.pt").unlink(missing_ok=True)


def _calibrate(run: Run, folder: Path, progress: Progress) -> None:
    config = run.config
    calibrate(
        folder,
        run.store,
        load_generator(run.folder / "train", run.subject.device),
        run.task.labels,
        config.calibrate,
        config.sample.bandwidths,
        config.seed,
        lambda done, total: progress(done, total, "sites"),
    )


def _sample(run: Run, folder: Path, progress: Progress) -> None:
    generator = load_generator(run.folder / "train", run.subject.device)
    sample(
        folder,
        run.store,
        generator,
        run.config.sample,
        run.config.seed,
        lambda done, total: progress(done, total, "sites"),
    )


def _verify(run: Run, folder: Path, progress: Progress) -> None:
    drawn = sorted((run.folder / "sample").glob("part-*.parquet"))
    verify(
        folder, drawn, run.store, run.task, run.subject, lambda done, total: progress(done, total, "distinct samples")
    )


def _reference(run: Run, folder: Path, progress: Progress) -> None:
    reference(folder, run.store, run.sites["pool"], lambda done, total: progress(done, total, "sites"))


def _causal(run: Run, folder: Path, progress: Progress) -> None:
    config, task = run.config, run.task
    bandwidth = config.causal.bandwidth or max(config.sample.bandwidths)
    labels = {feature: lambda tokens, feature=feature: task.labels(tokens)[feature] for feature in task.features}
    causal(
        folder,
        World(run.folder, run.store, run.subject, labels, task.contrast, _mined(run, bandwidth)),
        run.sites["train"],
        config.causal,
        bandwidth,
        config.seed,
        lambda done, total: progress(done, total, "sites x targets"),
    )
    used(run.folder)


def _mined(run: Run, bandwidth: float) -> dict[Site, dict[str, Label]]:
    """The first expressions that were confirmed at each site, asked of an input."""
    text = lru_cache(maxsize=None)(run.subject.decode)

    def label(source: str) -> Label:
        expression = parse(source)
        return lru_cache(maxsize=None)(lambda tokens: expression.label(text(tokens)))

    return {
        Site.parse(site): {source: label(source) for source in found}
        for site, found in confirmed(run.folder, bandwidth, run.task.features).items()
    }


def _mine(run: Run, folder: Path, progress: Progress) -> None:
    mine(run.folder, run.config.seed, progress)


def _score(run: Run, folder: Path, progress: Progress) -> None:
    score(run.folder, run.config.seed, lambda done, total: progress(done, total, "sites"))


def _report(run: Run, folder: Path, progress: Progress) -> None:
    write_report(run.folder)


STEPS: dict[str, Callable[[Run, Path, Progress], None]] = {
    "task": _task,
    "collect": _collect,
    "reference": _reference,
    "train": _train,
    "calibrate": _calibrate,
    "sample": _sample,
    "verify": _verify,
    "score": _score,
    "mine": _mine,
    "causal": _causal,
    "report": _report,
}


LAST = list(STEPS)[-1]


def _outputs(folder: Path) -> list[Path]:
    """The files of a step; those whose name starts with a dot are being written."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.name != files.MANIFEST and not path.name.startswith(".")
    )
