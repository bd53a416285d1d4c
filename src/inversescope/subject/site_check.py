"""One equation between the activations of a subject, and what all such checks share: inputs and tolerances."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inversescope.subject.model_shape import longest_of, vocabulary_of
from inversescope.subject.subject import Subject

LENGTH = 8  # tokens of the inputs that are tried
EXACT, ROUNDED = 1e-4, 0.03  # relative errors allowed in float32, and in half precision
# In half precision, where rounding differs with the shape of a batch and grows with depth; of rounded weights, whose
# kernels round the activations, too, by the largest of a batch (LLM.int8()).
BATCHED = 0.1
# Of the norm of the longest activation of an input. With weights set by hand, sums cancel to 1e-7 of it: rounding,
# which differs wholly from one processor to another.
NEGLIGIBLE = 0.01


@dataclass(frozen=True)
class SiteCheck:
    """One equation, and how far its sides are apart on this subject.

    Attributes:
        name: the equation.
        points: those that are not what they are called if it does not hold.
        error: largest relative error found; None where it cannot be examined.
        allowed: what rounding explains; None where the error is only reported.
        size: of the largest change that could be brought about, where it is too small to tell; else None.
    """

    name: str
    points: tuple[str, ...]
    error: float | None
    allowed: float | None
    size: float | None = None

    @property
    def ok(self) -> bool | None:
        """True if it holds; None if it cannot be measured."""
        return None if self.error is None or self.allowed is None else self.error <= self.allowed


@dataclass(frozen=True)
class TooSmall:
    """In place of errors: no input brought about a change that stands out from rounding; the largest had this size."""

    size: float


Measured = Iterable[float] | TooSmall | None  # None: the subject does not return what the check needs


class Examined:
    """Base of the checks: inputs, and the points that the subject has."""

    def __init__(self, subject: Subject):
        self.subject = subject
        self.inputs = inputs(subject)
        self.points = set(subject.points)
        self.layers = range(subject.shape.layers)
        self.allowed = EXACT if subject.dtype == torch.float32 else ROUNDED
        if subject.rounded:
            self.allowed = BATCHED

    def check(self, name: str, points: Sequence[str], errors: Callable[[], Measured]) -> Iterator[SiteCheck]:
        """The check, if the subject has all these points."""
        if self.points.issuperset(points):
            measured = errors()
            if measured is None or isinstance(measured, TooSmall):
                size = None if measured is None else measured.size
                yield SiteCheck(name, tuple(points), None, self.allowed, size)
            else:
                yield SiteCheck(name, tuple(points), max(measured), self.allowed)


def inputs(subject: Subject, seed: int = 0) -> list[tuple[int, ...]]:
    """Two random inputs that differ in their last token, with all their beginnings: 2 · LENGTH at most."""
    longest = longest_of(subject.model.config) or LENGTH
    drawn = tokens(subject, LENGTH + 1, seed)
    line = tuple([*subject.prefix, *drawn][: min(LENGTH, longest)])
    other = next(token for token in (drawn[-1], drawn[-1] - 1 if drawn[-1] else 1) if token != line[-1])
    return [line[: n + 1] for n in range(len(line))] + [(*line[:-1], other)]


def tokens(subject: Subject, count: int, seed: int) -> list[int]:
    """Random tokens."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(vocabulary_of(subject.model.config), (count,), generator=rng).tolist()


def relative_error(left: Tensor, right: Tensor, least: Tensor | float = 0.0) -> float:
    """‖left − right‖ / ‖right‖, the largest over rows; of a row that is zero, ‖left‖.

    `least`: a shorter row counts as this long, since it is mere rounding of longer ones.
    """
    gap, size = (left - right).flatten(1).norm(dim=1), right.flatten(1).norm(dim=1)
    size = size.maximum(torch.as_tensor(least, dtype=size.dtype))
    return float((gap / size.where(size > 0, 1.0)).max())
