"""First look at a question, while the pool is still being drawn: the nearest of the subject's own texts so far.

look = FirstLook.at(subject, text, "resid_post.15", length=10)
NaturalText.open(subject, sites=["resid_post.15"], length=10, seen=lambda *drawn: print(look.add(*drawn).nearest[0]))

Nothing is weighted here, and no posterior is claimed. Dimensions: `n` draws, `t` their tokens, `d` coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope.natural_text.answer import FoundText
from inversescope.position import LAST, Messages, Position, cut, keep_last
from inversescope.subject.continuing import Continuing, KeyValues
from inversescope.subject.subject import Subject
from inversescope.units import Units

MOST = 24  # texts that are shown


class Nearest(NamedTuple):
    """The nearest texts so far.

    Attributes:
        texts: number of the texts that were read.
        unrelated: median δ of two of them.
        nearest: the nearest, the nearest first.
    """

    texts: int
    unrelated: float
    nearest: tuple[FoundText, ...]


@dataclass
class FirstLook:
    """Draws of a pool beside one activation, read at its site as they come.

    Attributes:
        source: the text whose activation it is.
        length: tokens of every draw that are read.
        activation: the text's, in the subject's own units.
        reader: of the site.
    """

    source: str
    length: int
    activation: Float[Tensor, " d"]
    reader: Continuing
    _read: list[Float[Tensor, "n d"]] = field(default_factory=list)
    _tokens: list[Int[Tensor, "n t"]] = field(default_factory=list)
    _log_p: list[Float[Tensor, " n"]] = field(default_factory=list)

    @classmethod
    def at(cls, subject: Subject, text: str | Messages, site: str, length: int, position: Position = LAST) -> Self:
        """A look at the activation of `text` at a position.

        Raises:
            UserError: there is no such site or position.
        """
        (where,) = subject.sites([site])
        tokens = keep_last(cut(subject, text, position), subject.prefix, subject.longest)
        activation = subject.capture([tokens], [where]).activations[where][0].float()
        return cls(subject.show(tokens), length, activation, Continuing(subject, [where]))

    @property
    def texts(self) -> int:
        """Number of the texts that were read."""
        return sum(map(len, self._read))

    def add(self, tokens: Int[Tensor, "n t"], log_p: Float[Tensor, "n t"], key_values: KeyValues) -> Nearest:
        """The nearest after more draws (`pool.Seen`): their last token is read behind kept keys and values."""
        reader, subject, last = self.reader, self.reader.subject, self.length - 1
        for rows in torch.arange(len(tokens)).split(reader.rows):
            past = key_values.rows(rows, len(subject.prefix) + last, reader.layers)
            (read,) = reader.read(tokens[rows, last : last + 1], past, last=True).activations.values()
            self._read.append(read[:, 0])
        self._tokens.append(tokens[:, : self.length])
        self._log_p.append(log_p[:, : self.length].sum(1))
        return self._nearest()

    def _nearest(self) -> Nearest:
        whole, inputs, log_p = torch.cat(self._read), torch.cat(self._tokens), torch.cat(self._log_p)
        units = Units.of(whole)
        read, target = units.standardize(whole), units.standardize(self.activation[None])
        half = len(read) // 2
        unrelated = units.distance(read[:half], read[half : 2 * half]).median().item()
        distance, show = units.distance(read, target.expand_as(read)), self.reader.subject.show
        found: dict[str, FoundText] = {}
        for row in distance.argsort().tolist():
            if len(found) == MOST:
                break
            own = tuple(inputs[row].tolist())
            found.setdefault(show(own), FoundText(show(own), own, float(log_p[row]), float(distance[row]), ""))
        return Nearest(len(read), unrelated, tuple(found.values()))
