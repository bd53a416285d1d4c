"""Cost of an answer: seconds and steps of training, seconds of answering, memory, new inputs found."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

import psutil
import torch

TICK = 0.02  # seconds between two looks at the memory


@dataclass
class Cost:
    """Cost of one method; None is not measured.

    Attributes:
        training, answering: seconds.
        memory: the most that was in use beyond what was at the start, bytes; on a GPU what torch had allocated there,
            else the resident memory of the process, seen every 20 ms.
        steps: of training.
        fits, cut: trainings, and how many of them the time ended before they no longer improved.
        new: distinct inputs found, over targets and sites: verified, as near as the reference's typical one, neither
            the source nor training inputs.
        finding: seconds of drawing and verifying the draws among which those were counted.
        notes: remarks in words.
        diagnostics: one number a site, by name.
        measured: the work was done in this process, so that its memory could be measured.
    """

    training: float | None = 0.0
    answering: float | None = 0.0
    memory: int | None = None
    steps: int = 0
    fits: int = 0
    cut: int = 0
    new: int | None = None
    finding: float | None = None
    notes: list[str] = field(default_factory=list)
    diagnostics: dict[str, list[float]] = field(default_factory=dict)
    measured: bool = True

    def spent_by_run(self, training: float, answering: float) -> None:
        """Take over the seconds of the run's own steps, whose memory was not measured."""
        self.training, self.answering, self.measured = training, answering, False
        self.notes.append("the run's own records: seconds of the whole step, memory not measured")

    def fitted(self, steps: int, cut: bool) -> None:
        """Count a training: its steps, and whether the time ended it."""
        self.steps, self.fits, self.cut = self.steps + steps, self.fits + 1, self.cut + cut

    def found(self, new: int, share: float) -> None:
        """Count new inputs, found by this share of all draws, each of which took equally long."""
        self.new, self.finding = new, (self.answering or 0.0) * share

    @property
    def new_per_second(self) -> tuple[float | None, float | None]:
        """New inputs a second: of drawing and verifying, and of training too."""
        if self.new is None or not self.finding:
            return None, None
        return self.new / self.finding, self.new / (self.finding + (self.training or 0.0))

    def record(self) -> dict[str, float | int | list[str] | None]:
        """Entries of `methods.json`, the diagnostics as means over sites."""
        means = [
            f"{name} {sum(values) / len(values):.2f} (mean of {len(values)} sites)"
            for name, values in self.diagnostics.items()
        ]
        return {
            **{"training": self.training, "answering": self.answering, "memory": self.memory},
            **{"steps": self.steps, "fits": self.fits, "cut": self.cut, "new": self.new},
            **dict(zip(("new_per_second", "new_per_second_with_training"), self.new_per_second, strict=True)),
            "notes": [*dict.fromkeys(self.notes), *means],
        }

    @contextmanager
    def train(self) -> Iterator[None]:
        """Count the time of a `with` block as training."""
        started = time.monotonic()
        yield
        self.training = (self.training or 0.0) + time.monotonic() - started

    @contextmanager
    def answer(self) -> Iterator[None]:
        """Count the time of a `with` block as answering."""
        started = time.monotonic()
        yield
        self.answering = (self.answering or 0.0) + time.monotonic() - started


class Memory:
    """Peak of the memory in use within a `with` block, beyond what was at its start: `bytes` once it has ended."""

    def __init__(self, device: torch.device):
        self._device = device
        self._process = psutil.Process()
        self._ended = threading.Event()
        self.bytes = 0

    def __enter__(self) -> Self:
        gc.collect()
        return_freed_memory()
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        self._start = self._most = self._now()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watch.join()
        self._most = max(self._most, self._now())
        if self._device.type == "cuda":
            self._most = torch.cuda.max_memory_allocated(self._device)
        self.bytes = max(0, self._most - self._start)

    def _look(self) -> None:
        while not self._ended.wait(TICK):
            self._most = max(self._most, self._now())

    def _now(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.memory_allocated(self._device)
        return self._process.memory_info().rss


def return_freed_memory() -> None:
    """Give the system back what the C library keeps of freed memory, so that what is resident is in use.

    Else a block that uses such memory again would seem to use none. Only glibc has the call; others keep less.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)
