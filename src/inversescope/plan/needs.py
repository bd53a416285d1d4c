"""Disk and memory of a run before it starts, from shapes alone: the subject's weights need not be there.

Sizes follow from shapes, and from the inputs, which are drawn as the run would draw them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from inversescope.collect.draw_inputs import write_inputs
from inversescope.collect.inputs import INPUTS
from inversescope.config import RunConfig
from inversescope.plan.footprint import Footprint
from inversescope.run.run import Run
from inversescope.sites import SubjectShape
from inversescope.subject import loading, shapes
from inversescope.subject.projections import load_projection
from inversescope.tasks import entries
from inversescope.tasks.entities import EntityTask


@dataclass(frozen=True)
class Needs:
    """Bytes that a run takes, by step or by what takes them.

    Attributes:
        subject, shape, parameters: its name, its shape, how many weights it has.
        device, dtype: where it is read, and in which number format.
        inputs: of each split.
        sites: of each split, how many there are, and how many coordinates they have together.
        bounds: why there may be fewer inputs; None: these are the run's own.
        disk: what stays there.
        checkpoint: what is on the disk beside it until training ends.
        memory: on the device, at the peak; on the CPU, all of it.
        beside: the machine's, where the device is a GPU.
    """

    subject: str
    shape: SubjectShape
    parameters: int
    device: str
    dtype: str
    inputs: Mapping[str, int]
    sites: Mapping[str, tuple[int, int]]
    bounds: str | None
    disk: Mapping[str, int]
    checkpoint: int
    memory: Mapping[str, int]
    beside: Mapping[str, int] | None


def needs(config_text: str, name: str) -> Needs:
    """Needs of a run of a config (TOML text); `name` is used in messages. No weights are downloaded.

    Raises:
        UserError: the config cannot be used, or there is neither the model nor its configuration.
    """
    config = RunConfig.parse(config_text, name)
    wanted = config.subject
    device = _device(wanted.device)
    dtype = loading.choose_dtype(wanted.dtype, device)
    folder = shapes.locate(wanted.model, wanted.revision)
    whole = shapes.without_weights(folder, wanted.model, dtype)
    with tempfile.TemporaryDirectory() as temporary:
        run = Run(Path(temporary), config)
        whole.projections = {key: load_projection(path) for key, path in wanted.projections.items()}
        run.subject = whole
        table = run.folder / "collect" / INPUTS
        table.parent.mkdir()
        write_inputs(table, config.collect, run.task, run.subject, config.seed)
        footprint = Footprint(config, whole, run.store, run.sites)
        return Needs(
            subject=wanted.model,
            shape=whole.shape,
            parameters=sum(weight.numel() for weight in whole.model.parameters()),
            device=wanted.device if wanted.device == loading.ALL else str(device),
            dtype=str(dtype).removeprefix("torch."),
            inputs=footprint.rows,
            sites={split: (len(sites), footprint.coordinates[split]) for split, sites in run.sites.items()},
            bounds=_bounds(run),
            disk=footprint.disk(table.stat().st_size),
            checkpoint=footprint.checkpoint,
            memory=footprint.on_device(device),
            beside=None if device.type == "cpu" else footprint.beside(),
        )


def _device(wanted: str) -> torch.device:
    """The device that the config names, also if it is a GPU and there is none here."""
    if wanted.partition(":")[0] in ("cuda", loading.ALL) and not torch.cuda.is_available():
        return torch.device("cuda" if wanted == loading.ALL else wanted)
    return loading.choose_device(wanted)


def _bounds(run: Run) -> str | None:
    task = next(entry.task for entry in entries().values() if entry.config is type(run.config.task))
    if isinstance(task, type) and issubclass(task, EntityTask):
        return "at most, as if it knew every entity: what it knows is measured with its weights"
    return None
