"""What a run will need before it starts: disk, memory and time, of a subject whose weights need not be there.

Sizes follow from shapes, and from the inputs, which are drawn as the run would draw them. Seconds are measured: on the
subject's own weights where they are there, else on random ones of the same shapes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from inversescope.collect.collect import INPUTS
from inversescope.collect.inputs import write_inputs
from inversescope.config import RunConfig, SubjectConfig
from inversescope.plan.estimate import estimate
from inversescope.plan.footprint import Footprint, weights_bytes
from inversescope.run.pipeline import Run
from inversescope.sites import SubjectShape
from inversescope.subject import Subject, bundled, loading, shapes
from inversescope.subject.projections import load_projection
from inversescope.tasks import entries
from inversescope.tasks.entities import EntityTask

FITS = 0.5  # of the memory that is free: no more than that may the weights of a stand-in take
LAYERS = 2  # of a stand-in for a subject that is larger


@dataclass(frozen=True)
class Needs:
    """What a run will need. Bytes and seconds, by step or by what takes them.

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
        seconds: of the steps that take minutes; None: not measured.
        measured: on what, or why not.
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
    seconds: Mapping[str, float] | None
    measured: str


def needs(config_text: str, name: str) -> Needs:
    """What a run of a config (TOML text) will need; `name` is used in messages. No weights are downloaded.

    Raises:
        UserError: the config cannot be used, or there is neither the model nor its configuration.
    """
    config = RunConfig.parse(config_text, name)
    wanted = config.subject
    device = _device(wanted.device)
    dtype = loading.choose_dtype(wanted.dtype, device)
    folder = shapes.locate(wanted.model, wanted.revision)
    whole = shapes.without_weights(folder, wanted.model, dtype)
    reader, measured = _reader(wanted, folder, whole, device)
    with tempfile.TemporaryDirectory() as temporary:
        run = Run(Path(temporary), config)
        run.subject = whole if reader is None or reader.untrained else reader
        for subject in (whole, run.subject, *([reader] if reader else [])):
            subject.projections = {key: load_projection(path) for key, path in wanted.projections.items()}
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
            seconds=None if reader is None else estimate(run, reader),
            measured=measured,
        )


def _device(wanted: str) -> torch.device:
    """The device asked for, also if it is a GPU and there is none here."""
    if wanted.partition(":")[0] in ("cuda", loading.ALL) and not torch.cuda.is_available():
        return torch.device("cuda" if wanted == loading.ALL else wanted)
    return loading.choose_device(wanted)


def _reader(wanted: SubjectConfig, folder: Path, whole: Subject, device: torch.device) -> tuple[Subject | None, str]:
    """What is timed in the subject's place, and what that is, in words; None where nothing can be."""
    if device.type == "cuda" and not torch.cuda.is_available():
        return None, "not measured: there is no GPU here"
    dtype, layers = whole.dtype, whole.shape.layers
    if shapes.has_weights(folder):
        model = wanted.model if wanted.model == bundled.NAME else str(folder)
        subject = Subject.load(
            model, device=wanted.device, dtype=str(dtype).removeprefix("torch."), bits=wanted.bits,
            attention=wanted.attention,
        )  # fmt: skip
        return subject, "measured on its weights"
    if wanted.bits is not None or wanted.device == loading.ALL:
        return None, "not measured: the weights are not here, and random ones are neither rounded nor spread"
    fits = weights_bytes(whole.model, None) <= FITS * _free(device)
    layers = layers if fits else min(LAYERS, layers)
    part = "" if layers == whole.shape.layers else f" of {layers} of {whole.shape.layers} layers, and scaled"
    subject = shapes.stand_in(folder, wanted.model, dtype, device, layers)
    return subject, f"measured on random weights{part}"


def _free(device: torch.device) -> int:
    """Bytes of memory that nothing takes."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available


def _bounds(run: Run) -> str | None:
    task = next(entry.task for entry in entries().values() if entry.config is type(run.config.task))
    if run.subject.untrained and isinstance(task, type) and issubclass(task, EntityTask):
        return "at most, as if it knew every entity: what it knows can be asked of its weights alone"
    return None
