"""A run: one directory, its config, what is loaded on first use, and its steps."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Self

from inversescope.charts.chart import Chart
from inversescope.charts.widget import Part, Shown
from inversescope.cluster import Executor, Here
from inversescope.cluster.parts import Share
from inversescope.collect.sizes import SIZES, sized
from inversescope.collect.store import Store
from inversescope.config import RunConfig
from inversescope.errors import UserError
from inversescope.features.on_task import add_features
from inversescope.progress import Progress, watched
from inversescope.python_file import allow, require_allowed
from inversescope.records.levels import Levels, read_levels
from inversescope.run import pipeline, prior
from inversescope.run.plots import Plots
from inversescope.run.provenance import provenance, require_annotated_by, require_same
from inversescope.run.resolved import resolved_config, sites_of_splits
from inversescope.run.sealed import (
    CONFIG,
    check_config,
    config_folder,
    of_config,
    read_resolved,
    require_free,
    require_run,
    write_new,
)
from inversescope.run.subject_of_run import subject_of
from inversescope.sites import Site
from inversescope.stats.kernel import Kernel
from inversescope.subject import Subject
from inversescope.subject.site_checks import require as require_site_checks
from inversescope.tasks import Task, TaskConfig, load_task


class Run(Shown):
    """A run. Made by `create` (new) or `open` (existing).

    Attributes:
        folder: the directory.
        config: of the run.
        made_by: its provenance as recorded; None for a run that is being made.
        executor: does the units of its steps; in this process, if it is not set.
    """

    def __init__(
        self,
        folder: Path,
        config: RunConfig,
        made_by: dict[str, Any] | None = None,
        device: str | None = None,
        subject: Subject | None = None,
    ):
        self.folder = folder
        self.config = config
        self.made_by = made_by
        self.executor: Executor = Here()
        self._device = device  # of the subject, in place of the config's
        self._own = subject  # in place of the config's

    @property
    def plot(self) -> Plots:
        """Charts of the run, once it is finished: `plot.layers(feature)` and others."""
        return Plots(self.folder)

    def chart(self) -> Chart:
        """The first of them: all features over the layers.

        Raises:
            UserError: the run is not finished, or has no sites of whole layers.
        """
        return self.plot.overview()

    def _shown(self) -> tuple[list[Part], str | None]:
        if not self.finished("report"):
            return [], None
        try:
            made = self.chart()
        except UserError:  # it has no sites of whole layers
            return [], None
        return [{"text": repr(self)}, made.part()], made.table()

    def __repr__(self) -> str:
        done = [step for step in pipeline.STEPS if self.finished(step)]
        return f"Run({str(self.folder)!r}: {', '.join(done) or 'no step'} done)"

    @classmethod
    def create(
        cls,
        folder: Path | str,
        config_text: str,
        name: str = CONFIG,
        start: Path | None = None,
        *,
        allow_code: bool = False,
        subject: Subject | None = None,
    ) -> Self:
        """A new run of a config in a folder that is missing, empty, or holds a run of which nothing is done; made only
        when the config, the task and the sizes of the splits have been tried.

        Args:
            folder: of the run.
            config_text: the config, as TOML.
            name: stands for the config in messages.
            start: folder at which relative paths of the config start; None: the working directory.
            allow_code: allows the Python files that the config names to be run, now and later, in the version that they
                have.
            subject: a model in memory, with the name that the config gives as `subject.model`; it must be given again
                to open the run.

        Raises:
            CodeNotAllowedError: the config names Python files that were not allowed.
            UserError: the folder is in use, the config cannot be used with its subject, the task cannot be loaded or
                has too few inputs, or a site does not prove to be what it is called.
        """
        folder, start = Path(folder), (start or Path.cwd()).absolute()
        require_free(folder, config_text)
        run = cls(folder, RunConfig.parse(config_text, name, start), subject=subject)
        if allow_code:
            allow(run.config.code)
        require_allowed(run.config.code)
        require_site_checks(run.subject, run.sites["pool"])
        run.config = sized(run.config, run.task, run.seed)
        resolved = resolved_config(run.config, run.subject, run.sites, run.task_config.model_dump(mode="json"))
        labelled_by = run.config.functions | run.config.annotated
        made_from = prior.sources(run.task_config, run.subject) | prior.content(run.task)
        made_by = provenance(run.subject, run.seed, run.config.task_file, labelled_by, made_from)
        made_by["subject"]["in_memory"] = subject is not None
        made_by["config"] = of_config(start, folder)
        write_new(folder, config_text, made_by, resolved)
        return run

    @classmethod
    def open(
        cls,
        folder: Path | str,
        device: str | None = None,
        *,
        allow_code: bool = False,
        becoming: str | None = None,
        subject: Subject | None = None,
    ) -> Self:
        """A run that was created before. Nothing that its config names is run here.

        `device`: of the subject, in place of the config's. `allow_code` allows the Python files that the config names
        to be run where labels are needed. `becoming` is the config (TOML text) to which the run is extended.
        `subject` is the model in memory that the run was created with, if it was.

        Raises:
            UserError: it is not a run directory, or one of another version, or a file of it is not what was written.
        """
        folder = Path(folder)
        recorded = require_run(folder)
        check_config(folder, becoming)
        sizes = read_resolved(folder)["collect"]
        config = RunConfig.read(folder / CONFIG, config_folder(folder))
        run = cls(folder, config.with_sizes({name: sizes[name] for name in SIZES}), recorded, device, subject)
        if allow_code:
            run.require_same_code()
            allow(run.config.code)
        return run

    @property
    def seed(self) -> int:
        """The seed from which every random number of the run follows."""
        return self.config.seed

    def finished(self, step: str) -> bool:
        """True if a step is done; the last one, once the run's own manifest is written."""
        return pipeline.finished(self.folder, step)

    def do(self, step: str, progress: Progress | None = None) -> None:
        """Do one step, from where an interruption left it; `progress` is called as it goes on (default: a bar in a
        notebook).

        Raises:
            UserError: the steps before it are not done, or a file is not what was written.
        """
        with watched(progress, step) as report:
            pipeline.do(self, step, report)

    def do_share(self, step: str, share: Share, progress: Progress | None = None) -> None:
        """Do a share of a step's units, beside other processes with other shares. `do` then does what is left, and
        finishes the step.

        Raises:
            UserError: the steps before it are not done, it is not cut into units, or another process does this share or
                the whole step.
        """
        with watched(progress, step) as report:
            pipeline.do_share(self, step, share, report)

    def require_generator(self) -> None:
        """Check that the run has a generator, or is to have one.

        Raises:
            UserError: its config asks for none.
        """
        if not self.config.generator.sites:
            raise UserError(
                "this run has no generator, which this needs",
                given=f"{self.folder}: generator.sites = []",
                remedy="a run with generator.sites; of this one the reference is scored (score/results.parquet)",
            )

    @cached_property
    def subject(self) -> Subject:
        """The subject, loaded on first use.

        Raises:
            UserError: it cannot be loaded, or is not the one that the run was started with.
        """
        return subject_of(self.config.subject, self.made_by, self._own, self._device)

    @cached_property
    def task(self) -> Task:
        """The task, for the subject's tokenizer, with the config's features.

        Raises:
            CodeNotAllowedError: Python files of the config are run for it that were not allowed.
            UserError: it or a feature cannot be loaded; the prior, a file, a function or an annotator's model is not
                the one that the run was started with.
        """
        self.require_same_code()
        require_allowed(self.config.code)
        if self.made_by is not None:
            for name, current in self.config.annotated.items():
                require_annotated_by(name, current, self.made_by["features"][name])
            prior.require_same(prior.sources(self.task_config, self.subject), self.made_by["prior"])
        task = load_task(self.task_config, self.subject)
        if self.made_by is not None:
            prior.require_same(prior.content(task), self.made_by["prior"])
        return prior.with_own_inputs(add_features(task, self.config.features, self.subject), self.store)

    @cached_property
    def task_config(self) -> TaskConfig:
        """Config of the task, by the file that defines it if there is one."""
        return self.config.task_config()

    def require_same_code(self) -> None:
        """Compare the Python files of the config with those that the run was started with. None of them is run.

        Raises:
            UserError: one has changed or is missing.
        """
        if self.made_by is not None:
            recorded = self.made_by
            if self.config.task_file is not None:
                require_same("file of the task", self.config.task_file, recorded["task_file"])
            for name, current in self.config.functions.items():
                require_same(f"function of feature {name!r}", current, recorded["features"][name])

    @cached_property
    def store(self) -> Store:
        """Records of `collect`."""
        return Store(self.folder / "collect", self.config.neighbourhood)

    @property
    def kernel(self) -> Kernel:
        """The kernel that weighs inputs."""
        return self.config.neighbourhood.kernel

    @cached_property
    def levels(self) -> Levels:
        """Levels of each site that is collected: its bandwidths, and the resolutions that they stand for.

        Raises:
            UserError: the step `reference` is not done.
        """
        if not self.finished("reference"):
            raise UserError(
                "the bandwidths of this run are not known yet",
                given=self.folder,
                remedy=f"inversescope step {self.folder} reference",
            )
        return read_levels(self.folder)

    @cached_property
    def sites(self) -> dict[str, tuple[Site, ...]]:
        """Positions at which each split is read: train at the generator's sites, pool and targets at all.

        Raises:
            UserError: a site does not exist, or other sites are not among those collected.
        """
        return sites_of_splits(self.config, self.subject)
