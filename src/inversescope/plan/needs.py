"""Disk and memory of a run before it starts, from shapes alone: the subject's weights need not be there.

Sizes follow from shapes, and from the inputs, which are drawn as the run would draw them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import log
from pathlib import Path
from statistics import fmean

import torch

from inversescope.collect.draw_inputs import write_inputs
from inversescope.collect.inputs import INPUTS
from inversescope.collect.sizes import sized
from inversescope.config import RunConfig
from inversescope.errors import UserError
from inversescope.plan.footprint import Footprint
from inversescope.run.run import Run
from inversescope.sites import SubjectShape
from inversescope.subject import loading, shapes
from inversescope.subject.projection_files import load_projection
from inversescope.tasks import FileTaskConfig, Task, Tokens, entries
from inversescope.tasks.entities import EntityTask

WHOLE = 4  # times the inputs that are read anyway: up to here the whole prior is worth reading
PROBED = 256  # inputs whose probability says how large the prior is


@dataclass(frozen=True)
class Needs:
    """Bytes that a run takes, by step or by what takes them.

    Attributes:
        subject, shape, parameters: its name, its shape, how many weights it has.
        device, dtype: where it is read, and in which number format.
        inputs: of each split.
        sites: of each split, how many there are, and how many coordinates they have together.
        bounds: why there may be fewer inputs; None: these are the run's own.
        prior: number of inputs of the prior, where reading all of them is worth while; None: it is not, or is done.
        disk: what stays there.
        checkpoint: what is on the disk beside it until training ends.
        memory: on the device, at the peak; on the CPU, all of it.
        beside: the machine's, where the device is a GPU.
        notes: sentences on the rows of a file of texts.
    """

    subject: str
    shape: SubjectShape
    parameters: int
    device: str
    dtype: str
    inputs: Mapping[str, int]
    sites: Mapping[str, tuple[int, int]]
    bounds: str | None
    prior: int | None
    disk: Mapping[str, int]
    checkpoint: int
    memory: Mapping[str, int]
    beside: Mapping[str, int] | None
    notes: Sequence[str] = ()


def needs(config_text: str, name: str, start: Path | None = None) -> Needs:
    """Needs of a run of a config (TOML text); no weights are downloaded, and no code of the config is run: features by
    functions are left out. `name` is used in messages, and relative paths begin at `start`.

    Raises:
        UserError: the config cannot be used, a file of the user's defines its task, or there is neither the model nor
            its configuration.
    """
    config = RunConfig.parse(config_text, name, start)
    if isinstance(config.task, FileTaskConfig):
        raise UserError(
            "the needs of a task of your own are not known: its inputs are drawn by its file, and nothing is run here",
            given=config.task.code,
            remedy=f"inversescope run {name} --until task",
        )
    features = {key: feature for key, feature in config.features.items() if feature.function is None}
    config = config.model_copy(update={"features": features})
    wanted = config.subject
    device = _device(wanted.device)
    dtype = loading.choose_dtype(wanted.dtype, device)
    folder = shapes.locate(wanted.model, wanted.revision)
    whole = shapes.without_weights(folder, wanted.model, dtype, wanted.prefix)
    with tempfile.TemporaryDirectory() as temporary:
        run = Run(Path(temporary), config)
        whole.projections = {key: load_projection(path) for key, path in wanted.projections.items()}
        run.subject = whole
        run.config = config = sized(config, run.task, config.seed)
        table = run.folder / "collect" / INPUTS
        table.parent.mkdir()
        write_inputs(table, config.collect, run.task, run.subject, config.seed)
        footprint = Footprint(config, whole, run.store, run.sites, run.task)
        read = sum(footprint.rows.values())
        return Needs(
            subject=wanted.model,
            shape=whole.shape,
            parameters=sum(weight.numel() for weight in whole.model.parameters()),
            device=wanted.device if wanted.device == loading.ALL else str(device),
            dtype=str(dtype).removeprefix("torch."),
            inputs=footprint.rows,
            sites={split: (len(sites), footprint.coordinates[split]) for split, sites in run.sites.items()},
            bounds=_bounds(run),
            prior=None
            if config.collect.pool == "all" or hasattr(run.task, "document")
            else small_prior(run.task, run.store.inputs("pool").tokens, read),
            disk=footprint.disk(table.stat().st_size),
            checkpoint=footprint.checkpoint,
            memory=footprint.on_device(device),
            beside=None if device.type == "cpu" else footprint.beside(),
            notes=getattr(getattr(run.task, "reading", None), "notes", ()),
        )


def _device(wanted: str) -> torch.device:
    """The device that the config names, also if it is a GPU and there is none here."""
    if wanted.partition(":")[0] in ("cuda", loading.ALL) and not torch.cuda.is_available():
        return torch.device("cuda" if wanted == loading.ALL else wanted)
    return loading.choose_device(wanted)


def small_prior(task: Task, drawn: Sequence[Tokens], read: int) -> int | None:
    """Number of inputs of a prior that has at most four times as many as are `read` anyway: reading it whole takes less
    than training, and makes the reference exact. None where it has more, or its probabilities are not known.

    It is listed only where draws say that it is small: the mean of −ln P over them is its entropy.
    """
    log_prior = [task.log_prior(tokens) for tokens in drawn[:PROBED]]
    known = [value for value in log_prior if value is not None]
    if len(known) < len(log_prior) or fmean(known) < -log(WHOLE * read):
        return None
    count = sum(1 for _ in islice(task.enumerate(), WHOLE * read + 1))
    return count if count <= WHOLE * read else None


def _bounds(run: Run) -> str | None:
    task = next(entry.task for entry in entries().values() if entry.config is type(run.config.task))
    if isinstance(task, type) and issubclass(task, EntityTask):
        return "at most, as if it knew every entity: what it knows is measured with its weights"
    return None
