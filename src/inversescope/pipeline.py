"""A run: a directory, the steps in order, and what lets an interrupted one go on as if nothing had happened."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from inversescope import __version__, files
from inversescope.calibrate import calibrate, check
from inversescope.collect import Store, collect
from inversescope.config import RunConfig
from inversescope.errors import UserError
from inversescope.provenance import provenance
from inversescope.reference import reference
from inversescope.report import write_report
from inversescope.sample import sample
from inversescope.saving import load_generator
from inversescope.score import score
from inversescope.sites import Site
from inversescope.subject import Subject
from inversescope.subject.capture import enough_memory
from inversescope.subject.identities import require as require_identities
from inversescope.subject.projections import load_projection
from inversescope.tasks import Task, load_task, require
from inversescope.train import Progress as TrainProgress
from inversescope.train import train
from inversescope.verify import verify

CONFIG, RESOLVED, PROVENANCE = "config.toml", "resolved.json", "provenance.json"
ACCURACY_PROMPTS = 100

# Called as work goes on: what is done, of how much, and a remark.
Progress = Callable[[int, int, str], None]


class Run:
    """A run directory. Made by `create` (new) or `open` (existing).

    Attributes:
        folder: the directory.
        config: what was asked for.
    """

    def __init__(self, folder: Path, config: RunConfig):
        self.folder = folder
        self.config = config

    @classmethod
    def create(cls, folder: Path | str, config_text: str) -> Self:
        """A new run of a config (TOML text) in a folder that is missing, empty, or holds the start of this very run.

        Raises:
            UserError: the folder is in use, the config cannot be used with its subject, or a site of it does not prove
                to be what it is called.
        """
        folder = Path(folder)
        if not _free(folder, config_text):
            raise UserError(
                "the folder is not empty",
                given=folder,
                allowed="a folder that is missing or empty",
                remedy="another folder, or --resume to go on with the run in it",
            )
        run = cls(folder, RunConfig.parse(config_text, CONFIG))
        require_identities(run.subject, run.sites["pool"])
        resolved = run.resolved()
        files.write(folder / CONFIG, lambda path: path.write_bytes(config_text.encode()))
        files.write_json(folder / PROVENANCE, provenance(run.subject, run.config.seed))
        files.write_json(folder / RESOLVED, resolved)  # the last: with it, the folder is a run
        return run

    @classmethod
    def open(cls, folder: Path | str) -> Self:
        """A run that was created before.

        Raises:
            UserError: it is not a run directory, or one of another version.
        """
        folder = Path(folder)
        for name in (CONFIG, PROVENANCE, RESOLVED):
            if not (folder / name).exists():
                raise UserError(
                    "this is not a run directory",
                    given=f"{folder} (no {name})",
                    remedy="inversescope run CONFIG --out RUN",
                )
        made_by = files.read_json(folder / PROVENANCE)["inversescope"]
        if made_by != __version__:
            raise UserError(
                "the run was made by another version of InverseScope",
                given=f"{folder}: version {made_by}",
                allowed=f"version {__version__}",
                remedy=f"start a new run, or install inversescope=={made_by}",
            )
        return cls(folder, RunConfig.read(folder / CONFIG))

    def resolved(self) -> dict[str, Any]:
        """The whole config, with what its words mean for this subject.

        Raises:
            UserError: the config cannot be used with its subject.
        """
        sites, subject = self.sites, self.subject
        resolved = self.config.model_dump(mode="json")
        resolved["collect"]["sites"] = [str(site) for site in sites["pool"]]
        resolved["generator"]["sites"] = [str(site) for site in sites["train"]]
        resolved["subject"] |= {
            "device": str(subject.device),
            "dtype": str(subject.dtype).removeprefix("torch."),
            "shape": asdict(subject.shape),
            "prefix": list(subject.prefix),
        }
        return resolved

    @cached_property
    def subject(self) -> Subject:
        """The subject, loaded on first use.

        Raises:
            UserError: it cannot be loaded, or is not the one that the run was started with.
        """
        wanted, path = self.config.subject, self.folder / PROVENANCE
        made_by = files.read_json(path) if path.exists() else None
        dtype = made_by["dtype"] if made_by else wanted.dtype  # "auto" may mean another one on another machine
        subject = Subject.load(
            wanted.model,
            device=wanted.device,
            dtype=dtype,
            revision=wanted.revision,
            bits=wanted.bits,
            attention=wanted.attention,
        )
        subject.projections = {name: load_projection(path) for name, path in wanted.projections.items()}
        if made_by:
            known = made_by["subject"]
            _require_same(f"subject {subject.name!r}", subject.fingerprint, known["fingerprint"])
            for name, projection in subject.projections.items():
                _require_same(f"projection {name!r}", projection.fingerprint, known["projections"][name])
        return subject

    @cached_property
    def task(self) -> Task:
        """The task, for the subject's tokenizer."""
        return load_task(self.config.task, self.subject)

    @cached_property
    def store(self) -> Store:
        """What `collect` wrote."""
        return Store(self.folder / "collect")

    @cached_property
    def sites(self) -> dict[str, tuple[Site, ...]]:
        """Where each split is read: train at the generator's sites, pool and targets at all.

        Raises:
            UserError: a site does not exist, or the generator's sites are not among those collected.
        """
        everywhere = self.subject.sites(self.config.collect.sites)
        generator = self.subject.sites(self.config.generator.sites)
        missing = [str(site) for site in generator if site not in everywhere]
        if missing:
            raise UserError(
                "generator.sites must be among collect.sites",
                given=", ".join(missing[:5]),
                allowed=", ".join(self.config.collect.sites),
            )
        return {"train": generator, "pool": everywhere, "target": everywhere}

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
                changed = next(name for name in known if made_from.get(name) != known[name])
                raise UserError(
                    f"step {changed} was done again with another result, and step {before} still stands on the old one",
                    given=f"{changed} {known[changed]}",
                    allowed=f"{changed} {made_from.get(changed)}",
                    remedy=f"delete the folder {self.folder / before} and start again with --resume",
                )
            known[before] = files.sha256(self.folder / before / files.MANIFEST)
        return known


def _task(run: Run, folder: Path, progress: Progress) -> None:
    accuracy = run.task.accuracy(run.subject, ACCURACY_PROMPTS, np.random.default_rng([run.config.seed, 0]))
    if accuracy is None:
        files.write_json(folder / "accuracy.json", {"defined": False})
        return
    files.write_json(folder / "accuracy.json", {"defined": True, **asdict(accuracy)})
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


def _score(run: Run, folder: Path, progress: Progress) -> None:
    score(run.folder, run.config.seed, lambda done, total: progress(done, total, "sites"))


def _report(run: Run, folder: Path, progress: Progress) -> None:
    write_report(run.folder)


STEPS: dict[str, Callable[[Run, Path, Progress], None]] = {
    "task": _task,
    "collect": _collect,
    "train": _train,
    "calibrate": _calibrate,
    "sample": _sample,
    "verify": _verify,
    "reference": _reference,
    "score": _score,
    "report": _report,
}


LAST = list(STEPS)[-1]


def _require_same(what: str, found: str, known: str) -> None:
    if found != known:
        raise UserError(
            f"the {what} is not the one that this run was made with",
            given=f"fingerprint {found[:16]}",
            allowed=f"fingerprint {known[:16]}",
            remedy="start a new run",
        )


def _free(folder: Path, config_text: str) -> bool:
    """Whether a run of this config may be created here; what an earlier attempt wrote that was killed may be there."""
    if not folder.is_dir():
        return not folder.exists()
    found = {path.name for path in folder.iterdir() if path.suffix != ".part"}
    if not found:
        return True
    begun = CONFIG in found and found <= {CONFIG, PROVENANCE}
    return begun and (folder / CONFIG).read_bytes() == config_text.encode()


def _outputs(folder: Path) -> list[Path]:
    """The files of a step; those whose name starts with a dot are being written."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.name != files.MANIFEST and not path.name.startswith(".")
    )
