"""The pool: draws of the subject's own text, common to all targets and sites, with keys and values to read on from.

Dimensions: `r` draws, `t` their tokens, `v` the vocabulary, `w` the width of the model.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope import files
from inversescope.natural_text.prior import Prior, PriorTokens
from inversescope.progress import Progress, silent
from inversescope.subject import bundled
from inversescope.subject.continuing import Continuing, KeyValues
from inversescope.subject.subject import Subject

DRAWS = 1024
_CUT = 256  # rows whose next tokens are computed at once where the prior is cut
STEP = 16  # lengths of pools are multiples of it: a pool serves every shorter length


@dataclass(frozen=True)
class Pool:
    """Draws from the prior. `m` tokens of a draw are a draw of length m. All on the CPU but `hidden` and `key_values`,
    which are on the subject's device.

    Attributes:
        tokens: of each draw, without the subject's prefix.
        log_p: ln P of each token behind those before it.
        hidden: what the head reads behind each token.
        normaliser: of the next token behind each token (`PriorTokens.next_and_normaliser`).
        mean_next: mean over the draws of the probability of every token, at each position.
        key_values: of the prefix and every token.
        folder: folder in which it is kept, and readings of it are.
    """

    tokens: Int[Tensor, "r t"]
    log_p: Float[Tensor, "r t"]
    hidden: Float[Tensor, "r t w"]
    normaliser: Float[Tensor, "r t"]
    mean_next: Float[Tensor, "t v"]
    key_values: KeyValues
    folder: Path

    def __len__(self) -> int:
        return len(self.tokens)

    def next_of(self, prior: PriorTokens, length: int, tokens: Int[Tensor, " k"]) -> Float[Tensor, "r k"]:
        """ln P of some tokens behind the first `length` tokens of each draw."""
        if length == 0:
            return prior.first[tokens].expand(len(self), -1)
        if prior.prior.top is not None:
            return torch.cat([prior.next(part)[:, tokens].cpu() for part in self.hidden[:, length - 1].split(_CUT)])
        return prior.scores_of(self.hidden[:, length - 1], tokens) - self.normaliser[:, length - 1, None]


def open_pool(
    subject: Subject, prior: Prior, length: int, draws: int = DRAWS, seed: int = 0, progress: Progress = silent
) -> Pool:
    """The pool of a subject and a prior for inputs of this length: from the cache, or drawn and kept there."""
    length = -(-length // STEP) * STEP
    folder = _folder(subject, prior, length, draws, seed)
    path = folder / "pool.safetensors"
    if not path.exists():
        tensors = _drawn(subject, prior, length, draws, seed, progress)
        about = {"subject": subject.name, "prior": prior.record(), "tokens": length, "draws": draws, "seed": seed}
        files.write_json(folder / "about.json", about)
        _save(path, tensors)
    return _read(path, subject.device)


def cache(subject: Subject) -> Path:
    """Folder for what is read of a subject whatever the prior."""
    key = [subject.fingerprint, str(subject.dtype), list(subject.prefix)]
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    return bundled.cache_folder().parent / "natural-text" / name


def _folder(subject: Subject, prior: Prior, length: int, draws: int, seed: int) -> Path:
    key = json.dumps([prior.record(), length, draws, seed])
    return cache(subject) / f"pool-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


@torch.inference_mode()
def _drawn(subject: Subject, prior: Prior, length: int, draws: int, seed: int, progress: Progress) -> dict[str, Tensor]:
    """Draws in batches of rows, token by token."""
    words, reader = PriorTokens(subject, prior), Continuing(subject, ())
    rng = torch.Generator(subject.device).manual_seed(seed)
    start = reader.read(torch.tensor([list(subject.prefix)]), whole=True).key_values if subject.prefix else None
    parts: list[dict[str, Tensor]] = []
    mean_next = torch.zeros(length, len(words.first), device=subject.device)
    for done in range(0, draws, reader.rows):
        progress(done * length, draws * length, "tokens of the pool")
        parts.append(_batch(reader, words, start, min(reader.rows, draws - done), length, rng, mean_next))
    progress(draws * length, draws * length)
    names = ("tokens", "log_p", "hidden", "normaliser")
    whole = {name: torch.cat([part[name] for part in parts]) for name in names}
    for name in [key for key in parts[0] if key not in names]:
        whole[name] = torch.cat([part.pop(name) for part in parts])
    return whole | {"mean_next": mean_next.cpu() / draws}


def _batch(
    reader: Continuing,
    words: PriorTokens,
    start: KeyValues | None,
    n: int,
    length: int,
    rng: torch.Generator,
    mean_next: Float[Tensor, "t v"],
) -> dict[str, Tensor]:
    past = None if start is None else start.expanded(n)
    log_next = words.first.to(mean_next.device).expand(n, -1)
    columns: dict[str, list[Tensor]] = {"tokens": [], "log_p": [], "hidden": [], "normaliser": []}
    for position in range(length):
        chance = log_next.exp()
        mean_next[position] += chance.sum(0)
        token = torch.multinomial(chance, 1, generator=rng)
        read = reader.read(token, past, whole=True)
        assert read.hidden is not None
        past, hidden = read.key_values, read.hidden[:, -1]
        columns["tokens"].append(token[:, 0].cpu())
        columns["log_p"].append(log_next.gather(1, token)[:, 0].cpu())
        columns["hidden"].append(hidden.cpu())
        log_next, normaliser = words.next_and_normaliser(hidden)
        columns["normaliser"].append(normaliser.cpu())
    assert past is not None
    batch = {name: torch.stack(column, 1) for name, column in columns.items()}
    for number, (keys, values) in enumerate(past.layers):
        batch |= {f"keys.{number}": keys.cpu(), f"values.{number}": values.cpu()}
    return batch


def _save(path: Path, tensors: dict[str, Tensor]) -> None:
    from safetensors.torch import save_file

    content = {name: tensor.contiguous() for name, tensor in tensors.items()}
    files.write(path, lambda temporary: save_file(content, temporary))


def _read(path: Path, device: torch.device) -> Pool:
    from safetensors.torch import load_file

    tensors = load_file(path)  # mapped into memory: keys and values are read where they are used
    layers = sum(name.startswith("keys.") for name in tensors)
    pairs = tuple((tensors[f"keys.{i}"], tensors[f"values.{i}"]) for i in range(layers))
    tokens, log_p, hidden, normaliser, mean_next = (
        tensors[name] for name in ("tokens", "log_p", "hidden", "normaliser", "mean_next")
    )
    kept = KeyValues(pairs).to(device)
    return Pool(tokens, log_p, hidden.to(device), normaliser, mean_next, kept, path.parent)
