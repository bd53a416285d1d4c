"""A generator on disk: finished, or in the middle of its training."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from safetensors.torch import load_file

from inversescope import files
from inversescope.generator import Generator, Vocabulary
from inversescope.generator.pretrained import Pretrained
from inversescope.sites import Site
from inversescope.subject.trimmed_copy import Borrowed

LOSSES = "losses.parquet"
CHECKPOINT = "checkpoint.pt"


def save_generator(folder: Path, generator: Generator, losses: Sequence[float]) -> None:
    """Write the generator (weights, and what they are) and the losses of its training, nats an input for each step.

    A pretrained backbone is written whole, as trimmed: what was trained of it would be of no use without the rest.
    """
    backbone, shape = generator.backbone, generator.backbone.shape
    described = {
        "phrases": generator.vocabulary.phrases,
        "prefix": generator.vocabulary.prefix,
        "positions": generator.positions,
        "sites": {str(site): generator.neighbourhood(site).dimension for site in generator.sites},
        "bandwidths": {str(site): ends for site, ends in generator.bandwidths.items()},
        "known": generator.known,
        "facts": generator.facts,
        **generator.chosen,
        "width": shape.width,
        "layers": shape.layers,
        "heads": shape.heads,
        "pretrained": backbone.borrowed.description if isinstance(backbone, Pretrained) else None,
    }
    files.write_tensors(folder / "generator.safetensors", generator.state_dict())
    files.write_json(folder / "generator.json", described)
    steps = pa.table({"step": pa.array(range(1, len(losses) + 1), pa.int32()), "nats": list(losses)})
    files.write_table(folder / LOSSES, steps)


def load_generator(folder: Path, device: torch.device) -> Generator:
    """The generator that `train` saved in this folder, ready to draw."""
    described = files.read_json(folder / "generator.json")
    scratch, pretrained = (described["width"], described["layers"], described["heads"]), described["pretrained"]
    generator = Generator(
        Vocabulary(tuple(map(tuple, described["phrases"])), tuple(described["prefix"])),
        described["positions"],
        {Site.parse(site): dimension for site, dimension in described["sites"].items()},
        {Site.parse(site): tuple(ends) for site, ends in described["bandwidths"].items()},
        known=described["known"],
        facts=tuple(described["facts"]),
        encoder=described["encoder"],
        conditioning=described["conditioning"],
        backbone=Borrowed.from_description(pretrained) if pretrained else scratch,
    )
    generator.load_state_dict(load_file(folder / "generator.safetensors"))
    return generator.to(device).eval()


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write what training needs to go on; numbers, tensors, lists and dictionaries of them."""
    content = io.BytesIO()  # torch's own writer hides that the disk is full
    torch.save(state, content)
    files.write(folder / CHECKPOINT, lambda temporary: temporary.write_bytes(content.getbuffer()))


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """What `save_checkpoint` wrote last; None if it never did."""
    path = folder / CHECKPOINT
    return torch.load(path, weights_only=True) if path.exists() else None
