"""Readings of a site that serve every target: the pool's own, and every token of the vocabulary read alone.

Dimensions: `r` draws, `d` coordinates of a site, `v` the vocabulary, `w` the width of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope import files
from inversescope.natural_text.pool import Pool, cache
from inversescope.progress import Progress, silent
from inversescope.sites import Site
from inversescope.subject.continuing import ROWS, Continuing, KeyValues
from inversescope.subject.subject import Subject

_ALONE = 1024  # tokens read alone at once: their keys and values are the prefix's


def pool_readings(reader: Continuing, pool: Pool, prefix: int, position: int) -> dict[Site, Float[Tensor, "r d"]]:
    """Activations of the draws' first `position` tokens at the last of them, from the cache or read and kept there."""
    paths = {site: pool.folder / f"{file_name(reader.subject, site)}.{position}.safetensors" for site in reader.sites}
    if all(path.exists() for path in paths.values()):
        return {site: load(path) for site, path in paths.items()}
    before = prefix + position - 1
    parts = []
    for rows in torch.arange(len(pool)).split(ROWS):
        past = pool.key_values.rows(rows, before, reader.layers) if before else None
        parts.append(reader.read(pool.tokens[rows, position - 1 : position], past, last=True).activations)
    whole = {site: torch.cat([part[site][:, 0] for part in parts]) for site in reader.sites}
    for site, path in paths.items():
        files.write_tensors(path, {"activations": whole[site]})
    return whole


def ends_alone(reader: Continuing, pool: Pool, position: int, m: int) -> dict[Site, Float[Tensor, "r d"]]:
    """The m last of the draws' first `position` tokens read alone behind the prefix, from the cache or kept there."""
    paths = {
        site: pool.folder / f"{file_name(reader.subject, site)}.{position}.end{m}.safetensors" for site in reader.sites
    }
    if not all(path.exists() for path in paths.values()):
        read = read_alone(reader, pool.tokens[:, position - m : position])
        for site, path in paths.items():
            files.write_tensors(path, {"activations": read[site]})
    return {site: load(path) for site, path in paths.items()}


def read_alone(reader: Continuing, ends: Int[Tensor, "n m"]) -> dict[Site, Float[Tensor, "n d"]]:
    """Ends as if they were whole inputs: activations at their last token."""
    start = prefix_key_values(reader.subject)
    parts = []
    for tokens in ends.split(ROWS):
        past = None if start is None else KeyValues(start.layers[: reader.layers]).expanded(len(tokens))
        parts.append(reader.read(tokens, past, last=True).activations)
    return {site: torch.cat([part[site][:, 0] for part in parts]) for site in reader.sites}


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
    reader = Continuing(subject, sites)
    start = prefix_key_values(subject)
    vocabulary = subject.model.get_output_embeddings().weight.shape[0]
    activations: dict[Site, list[Tensor]] = {site: [] for site in sites}
    hidden: list[Tensor] = []
    for tokens in torch.arange(vocabulary).split(_ALONE):
        progress(int(tokens[0]), vocabulary, "tokens read alone")
        layers = None if whole else reader.layers
        past = None if start is None else KeyValues(start.layers[:layers]).expanded(len(tokens))
        read = reader.read(tokens[:, None], past, whole=whole, last=True)
        for site in sites:
            activations[site].append(read.activations[site][:, 0])
        if read.hidden is not None:
            hidden.append(read.hidden[:, 0].cpu())
    progress(vocabulary, vocabulary)
    for site in sites:
        files.write_tensors(
            folder / f"{file_name(subject, site)}.safetensors", {"activations": torch.cat(activations[site]).bfloat16()}
        )
    if whole:
        files.write_tensors(folder / "hidden.safetensors", {"activations": torch.cat(hidden)})


def file_name(subject: Subject, site: Site) -> str:
    """Name of a site's readings: its address, and the numbers of its projections."""
    names = [single.projection for single in site.singles if single.projection is not None]
    return ".".join([str(site), *(subject.projections[name].fingerprint[:12] for name in names)])


def load(path: Path) -> Tensor:
    """The readings in a file."""
    from safetensors.torch import load_file

    return load_file(path)["activations"]
