"""Files of a generator: the finished one, and the checkpoint of an unfinished training."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from inversescope import files, records
from inversescope.cluster import parts
from inversescope.generator import Generator, Vocabulary
from inversescope.sites import Site

CHECKPOINT, BEFORE, FITTED = "checkpoint.pt", "checkpoint-before.pt", "checkpoint-fitted.pt"


def save_generator(folder: Path, generator: Generator, losses: Sequence[float]) -> None:
    """Write the generator (weights and description) and the training losses, in nats per input for each step."""
    shape = generator.decoder.shape
    description = {
        "phrases": generator.vocabulary.phrases,
        "prefix": generator.vocabulary.prefix,
        "positions": generator.positions,
        "sites": {str(site): generator.channel(site).dimension for site in generator.sites},
        "bandwidths": {str(site): ends for site, ends in generator.bandwidths.items()},
        "stored": generator.stored,
        "indicators": generator.indicators,
        **generator.choices,
        "width": shape.width,
        "layers": shape.layers,
        "heads": shape.heads,
    }
    files.write_tensors(folder / "generator.safetensors", generator.state_dict())
    files.write_json(folder / records.train.GENERATOR.name, records.train.GENERATOR.of(description))
    steps = records.train.LOSSES.of_columns({"step": list(range(1, len(losses) + 1)), "nats": list(losses)})
    files.write_table(folder / records.train.LOSSES.name, steps)


def load_generator(folder: Path, device: torch.device) -> Generator:
    """Generator that `train` saved in this folder, in evaluation mode."""
    description = files.read_json(files.verified(folder / "generator.json"))
    generator = Generator(
        Vocabulary(tuple(map(tuple, description["phrases"])), tuple(description["prefix"])),
        description["positions"],
        {Site.parse(site): dimension for site, dimension in description["sites"].items()},
        {Site.parse(site): tuple(ends) for site, ends in description["bandwidths"].items()},
        stored=description["stored"],
        indicators=tuple(description["indicators"]),
        encoder=description["encoder"],
        conditioning=description["conditioning"],
        decoder=(description["width"], description["layers"], description["heads"]),
    )
    generator.load_state_dict(load_file(files.verified(folder / "generator.safetensors")))
    return generator.to(device).eval()


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write the state of a training: numbers, tensors, lists and dictionaries of them. The checkpoint before it stays;
    its key `fitted`, which never changes, is written once.
    """
    state = dict(state)
    fitted, last = {"fitted": state.pop("fitted")}, folder / CHECKPOINT
    if not parts.kept(folder / FITTED):
        _save(folder / FITTED, fitted)
    if parts.kept(last):
        files.write(folder / BEFORE, lambda temporary: shutil.copyfile(last, temporary))
        parts.keep(folder / BEFORE)
    _save(last, state)


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """State of the last checkpoint that is what was written; None if there is none."""
    for path in (folder / CHECKPOINT, folder / BEFORE):
        if parts.kept(path) and parts.kept(folder / FITTED):
            return _load(path) | _load(folder / FITTED)
    return None


def delete_checkpoints(folder: Path) -> None:
    """Delete the checkpoints of a training that has ended."""
    for name in (CHECKPOINT, BEFORE, FITTED):
        (folder / name).unlink(missing_ok=True)


def _save(path: Path, content: dict[str, Any]) -> None:
    written = io.BytesIO()  # torch.save to a path does not report a full disk
    torch.save(content, written)
    files.write(path, lambda temporary: temporary.write_bytes(written.getbuffer()))
    parts.keep(path)


def _load(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)
