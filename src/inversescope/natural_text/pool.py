"""The pool: draws of the subject's own text, common to all targets and sites, with keys and values to read on from.

Dimensions: `r` draws, `t` their tokens, `v` the vocabulary, `w` the width of the model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
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
_PART = "part-{}.safetensors"  # of a pool that is not whole yet

# Called with draws as soon as there are any: their tokens, ln P of each token, keys and values.
Seen = Callable[[Int[Tensor, "n t"], Float[Tensor, "n t"], "KeyValues"], None]


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
    subject: Subject,
    prior: Prior,
    length: int,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Progress = silent,
    seen: Seen | None = None,
) -> Pool:
    """The pool of a subject and a prior for inputs of this length: from the cache, or drawn and kept there. One that
    was stopped goes on where it was. `seen` is called with all of its draws, as they come.
    """
    length = -(-length // STEP) * STEP
    folder = _folder(subject, prior, length, draws, seed)
    path = folder / "pool.safetensors"
    with by_one_process(folder, progress):
        there = path.exists()
        if not there:
            tensors = _drawn(subject, prior, length, draws, seed, progress, folder, seen)
            about = {"subject": subject.name, "prior": prior.record(), "tokens": length, "draws": draws, "seed": seed}
            files.write_json(folder / "about.json", about)
            _save(path, tensors)
            for part in folder.glob(_PART.format("*")):
                part.unlink(missing_ok=True)
    pool = _read(path, subject.device)
    if there and seen is not None:
        seen(pool.tokens, pool.log_p, pool.key_values)
    return pool


@contextmanager
def by_one_process(folder: Path, progress: Progress) -> Iterator[None]:
    """Keep a folder of the cache to this process; wait as long as another has it. It is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    while not lock.is_locked:
        try:
            lock.acquire(timeout=1)
        except Timeout:
            progress(0, 1, "another process prepares the same; waiting for it")
    try:
        yield
    finally:
        lock.release()


def cache(subject: Subject) -> Path:
    """Folder for what is read of a subject whatever the prior."""
    key = [subject.fingerprint, str(subject.dtype), list(subject.prefix)]
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    return bundled.cache_folder().parent / "natural-text" / name


def _folder(subject: Subject, prior: Prior, length: int, draws: int, seed: int) -> Path:
    key = json.dumps([prior.record(), length, draws, seed])
    return cache(subject) / f"pool-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


@torch.inference_mode()
def _drawn(
    subject: Subject,
    prior: Prior,
    length: int,
    draws: int,
    seed: int,
    progress: Progress,
    folder: Path,
    seen: Seen | None,
) -> dict[str, Tensor]:
    """Draws in batches of rows, token by token; each batch is kept with the state of the random numbers behind it."""
    words, reader = PriorTokens(subject, prior), Continuing(subject, ())
    rng = torch.Generator(subject.device).manual_seed(seed)
    start = reader.read(torch.tensor([list(subject.prefix)]), whole=True).key_values if subject.prefix else None
    parts: list[dict[str, Tensor]] = []
    mean_next = torch.zeros(length, len(words.first), device=subject.device)
    for number, done in enumerate(range(0, draws, reader.rows)):
        path = folder / _PART.format(number)
        rows = min(reader.rows, draws - done)

        def written(tokens: int, before: int = done * length) -> None:
            progress(before + tokens, draws * length, "tokens of the pool")

        if not path.exists():
            part = _batch(reader, words, start, rows, length, rng, written)
            _save(path, part | {"random": rng.get_state()})
        parts.append(load_file(path))
        rng.set_state(parts[-1].pop("random"))
        mean_next += parts[-1].pop("mean_next").to(mean_next.device)
        if seen is not None:
            seen(parts[-1]["tokens"], parts[-1]["log_p"], _key_values(parts[-1]).to(subject.device))
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
    written: Callable[[int], None],
) -> dict[str, Tensor]:
    """`written` is called with the number of tokens before each position is drawn, and again once it is read."""
    mean_next = torch.zeros(length, len(words.first), device=reader.subject.device)
    past = None if start is None else start.expanded(n)
    log_next = words.first.to(mean_next.device).expand(n, -1)
    columns: dict[str, list[Tensor]] = {"tokens": [], "log_p": [], "hidden": [], "normaliser": []}
    for position in range(length):
        written(position * n)
        chance = log_next.exp()
        mean_next[position] += chance.sum(0)
        token = torch.multinomial(chance, 1, generator=rng)
        read = reader.read(token, past, whole=True)
        written(position * n)
        assert read.hidden is not None
        past, hidden = read.key_values, read.hidden[:, -1]
        columns["tokens"].append(token[:, 0].cpu())
        columns["log_p"].append(log_next.gather(1, token)[:, 0].cpu())
        columns["hidden"].append(hidden.cpu())
        log_next, normaliser = words.next_and_normaliser(hidden)
        columns["normaliser"].append(normaliser.cpu())
    assert past is not None
    batch = {name: torch.stack(column, 1) for name, column in columns.items()} | {"mean_next": mean_next.cpu()}
    for number, (keys, values) in enumerate(past.layers):
        batch |= {f"keys.{number}": keys.cpu(), f"values.{number}": values.cpu()}
    return batch


def _save(path: Path, tensors: dict[str, Tensor]) -> None:
    content = {name: tensor.contiguous() for name, tensor in tensors.items()}
    files.write(path, lambda temporary: save_file(content, temporary))


def _read(path: Path, device: torch.device) -> Pool:
    tensors = load_file(path)  # mapped into memory: keys and values are read where they are used
    tokens, log_p, hidden, normaliser, mean_next = (
        tensors[name] for name in ("tokens", "log_p", "hidden", "normaliser", "mean_next")
    )
    kept = _key_values(tensors).to(device)
    return Pool(tokens, log_p, hidden.to(device), normaliser, mean_next, kept, path.parent)


def _key_values(tensors: Mapping[str, Tensor]) -> KeyValues:
    layers = sum(name.startswith("keys.") for name in tensors)
    return KeyValues(tuple((tensors[f"keys.{i}"], tensors[f"values.{i}"]) for i in range(layers)))
