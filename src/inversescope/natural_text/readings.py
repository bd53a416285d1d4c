"""Readings of a site that serve every target: the pool's own, and every token of the vocabulary read alone.

Dimensions: `r` draws, `d` coordinates of a site, `v` the vocabulary, `w` the width of the model.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope import files
from inversescope.cluster import Unit, parts
from inversescope.natural_text.pool import Pool, by_one_process, cache
from inversescope.progress import Progress, silent
from inversescope.sites import Site
from inversescope.subject.continuing import Continuing, KeyValues
from inversescope.subject.subject import Subject

_ALONE = 256  # tokens read alone at once, a second or so on two cores: their keys and values are the prefix's
_PART = 4096  # tokens whose readings an interruption can cost
_HIDDEN = "hidden"


def pool_readings(
    reader: Continuing, pool: Pool, prefix: int, position: int, before_batch: Callable[[], None] = lambda: None
) -> dict[Site, Float[Tensor, "r d"]]:
    """Activations of the draws' first `position` tokens at the last of them, from the cache or read and kept there."""
    paths = {site: pool.folder / f"{file_name(reader.subject, site)}.{position}.safetensors" for site in reader.sites}
    if all(path.exists() for path in paths.values()):
        return {site: load(path) for site, path in paths.items()}
    before = prefix + position - 1
    parts = []
    for rows in torch.arange(len(pool)).split(reader.rows):
        before_batch()
        past = pool.key_values.rows(rows, before, reader.layers) if before else None
        parts.append(reader.read(pool.tokens[rows, position - 1 : position], past, last=True).activations)
    whole = {site: torch.cat([part[site][:, 0] for part in parts]) for site in reader.sites}
    for site, path in paths.items():
        files.write_tensors(path, {"activations": whole[site]})
    return whole


def ends_alone(
    reader: Continuing, pool: Pool, position: int, m: int, before_batch: Callable[[], None] = lambda: None
) -> dict[Site, Float[Tensor, "r d"]]:
    """The m last of the draws' first `position` tokens read alone behind the prefix, from the cache or kept there."""
    paths = {
        site: pool.folder / f"{file_name(reader.subject, site)}.{position}.end{m}.safetensors" for site in reader.sites
    }
    if not all(path.exists() for path in paths.values()):
        read = read_alone(reader, pool.tokens[:, position - m : position], before_batch)
        for site, path in paths.items():
            files.write_tensors(path, {"activations": read[site]})
    return {site: load(path) for site, path in paths.items()}


def read_alone(
    reader: Continuing, ends: Int[Tensor, "n m"], before_batch: Callable[[], None] = lambda: None
) -> dict[Site, Float[Tensor, "n d"]]:
    """Ends as if they were whole inputs: activations at their last token. Beginnings that many share are read once."""
    start = prefix_key_values(reader.subject)
    prefix = None if start is None else KeyValues(start.layers[: reader.layers])
    begun, which = ends[:, :-1].unique(dim=0, return_inverse=True) if ends.shape[1] > 1 else (ends, None)
    parts = []
    if which is None or 2 * len(begun) > len(ends) or reader.layers < 2:
        for tokens in ends.split(reader.rows):
            before_batch()
            parts.append(reader.read(tokens, _behind(prefix, len(tokens)), last=True).activations)
    else:
        kept = []
        for tokens in begun.split(reader.rows):
            before_batch()
            kept.append(reader.read(tokens, _behind(prefix, len(tokens))).key_values)
        past = KeyValues.joined(kept)
        for rows in torch.arange(len(ends)).split(reader.rows):
            before_batch()
            parts.append(reader.read(ends[rows, -1:], past.rows(which[rows], past.tokens), last=True).activations)
    return {site: torch.cat([part[site][:, 0] for part in parts]) for site in reader.sites}


def _behind(prefix: KeyValues | None, n: int) -> KeyValues | None:
    return None if prefix is None else prefix.expanded(n)


def prefix_key_values(subject: Subject) -> KeyValues | None:
    """Keys and values of the prefix; None if there is none."""
    if not subject.prefix:
        return None
    return Continuing(subject, ()).read(torch.tensor([list(subject.prefix)]), whole=True).key_values


def tokens_alone(
    subject: Subject, sites: Sequence[Site], progress: Progress = silent
) -> tuple[dict[Site, Float[Tensor, "v d"]], Float[Tensor, "v w"]]:
    """Every token of the vocabulary read alone behind the prefix: activations, and what the head reads behind it."""
    folder = cache(subject) / "alone"
    last = folder / "hidden.safetensors"
    paths = {site: folder / f"{file_name(subject, site)}.safetensors" for site in sites}
    missing = [site for site, path in paths.items() if not path.exists()]
    if missing or not last.exists():
        _read_alone(subject, missing, folder, whole=not last.exists(), progress=progress)
    return {site: load(path) for site, path in paths.items()}, load(last)


def _read_alone(subject: Subject, sites: Sequence[Site], folder: Path, *, whole: bool, progress: Progress) -> None:
    """Read the vocabulary in parts: a pass that was stopped goes on where it was. Other processes wait for it."""
    names = {str(site): file_name(subject, site) for site in sites} | ({_HIDDEN: "hidden"} if whole else {})
    with by_one_process(folder, progress):
        if all((folder / f"{name}.safetensors").exists() for name in names.values()):
            return
        own = folder / f"parts-{hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16]}"
        vocabulary = subject.model.get_output_embeddings().weight.shape[0]
        units = [
            Unit(f"part-{first:07d}.safetensors", (first, min(first + _PART, vocabulary)), _PART)
            for first in range(0, vocabulary, _PART)
        ]
        paths = parts.make(own, units, lambda: _Alone(subject, sites, own, whole), progress)
        read = [load_all(path) for path in paths]
        for key, name in names.items():
            content = torch.cat([part[key] for part in read])
            files.write_tensors(folder / f"{name}.safetensors", {"activations": content})
        parts.end(own)
        shutil.rmtree(own)


class _Alone:
    """Worker of one part of the vocabulary."""

    def __init__(self, subject: Subject, sites: Sequence[Site], folder: Path, whole: bool):
        self._reader, self._folder, self._whole = Continuing(subject, sites), folder, whole
        self._start = prefix_key_values(subject)

    def __call__(self, unit: Unit, progress: Progress, /) -> Path:
        first, last = unit.arguments
        found: dict[str, list[Tensor]] = {}
        layers = None if self._whole else self._reader.layers
        for tokens in torch.arange(first, last).split(_ALONE):
            progress(int(tokens[0]) - first, last - first, "tokens read alone")
            past = None if self._start is None else KeyValues(self._start.layers[:layers]).expanded(len(tokens))
            read = self._reader.read(tokens[:, None], past, whole=self._whole, last=True)
            for site, activations in read.activations.items():
                found.setdefault(str(site), []).append(activations[:, 0].bfloat16())
            if read.hidden is not None:
                found.setdefault(_HIDDEN, []).append(read.hidden[:, 0].cpu())
        path = self._folder / unit.file
        files.write_tensors(path, {name: torch.cat(columns) for name, columns in found.items()})
        return path


def file_name(subject: Subject, site: Site) -> str:
    """Name of a site's readings: its address, and the numbers of its projections."""
    names = [single.projection for single in site.singles if single.projection is not None]
    return ".".join([str(site), *(subject.projections[name].fingerprint[:12] for name in names)])


def load(path: Path) -> Tensor:
    """The readings in a file."""
    return load_all(path)["activations"]


def load_all(path: Path) -> dict[str, Tensor]:
    """All tensors of a file."""
    from safetensors.torch import load_file

    return load_file(path)
