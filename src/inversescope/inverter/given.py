"""Activations that are inverted: of a text at a position, or vectors from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from inversescope.errors import UserError
from inversescope.position import Messages, Position, cut, inputs, keep_last
from inversescope.sites import Site
from inversescope.subject import Subject
from inversescope.subject.vectors import checked
from inversescope.tasks import Tokens

Texts = str | Messages | Sequence[str] | Sequence[Messages]


@dataclass(frozen=True)
class Given:
    """Source input that is inverted, or a vector, which has none.

    Attributes:
        text: the source input as people read it, or the name of the vector.
        tokens: the source input, prefix included; None for a vector.
        dropped: tokens left out at its beginning, because the subject reads no longer input.
        vector: in the subject's own units, as it is, or one for each site; None for a text.
    """

    text: str
    tokens: Tokens | None
    dropped: int = 0
    vector: Any = None

    def activations(self, subject: Subject, sites: Sequence[Site]) -> dict[Site, Float[Tensor, "1 d"]]:
        """The activation at each of the sites.

        Raises:
            UserError: the vector cannot be an activation of one of them.
        """
        if self.tokens is not None:
            return dict(subject.capture([self.tokens], sites).activations)
        of_site = self.vector if isinstance(self.vector, Mapping) else dict.fromkeys(sites, self.vector)
        return {site: checked(of_site[site], subject.dimension(site), self.text)[None] for site in sites}


def given(subject: Subject, text: Any, position: Position, vector: Any) -> tuple[list[Given], bool]:
    """The texts, conversations or vectors, and True where they are several.

    Args:
        vector: numbers of one vector, rows of several, or a mapping from names to vectors.

    Raises:
        UserError: both a text and a vector are given, or neither; or they cannot be read.
    """
    if (text is None) == (vector is None):
        both = "neither" if text is None else "both"
        raise UserError("a text or a vector is inverted", given=both, allowed="either a text or vector=...")
    if vector is not None:
        return vectors(vector)
    texts, several = inputs(text)
    return [_of_text(subject, each, position) for each in texts], several


def vectors(vector: Any) -> tuple[list[Given], bool]:
    """One vector or several, with names."""
    if isinstance(vector, Given):
        return [vector], False
    if isinstance(vector, Mapping):
        return [Given(str(name), None, vector=each) for name, each in vector.items()], True
    rows = list(vector) if _is_several(vector) else None
    if rows is None:
        return [Given("the vector", None, vector=vector)], False
    return [
        row if isinstance(row, Given) else Given(f"vector {number}", None, vector=row)
        for number, row in enumerate(rows)
    ], True


def _is_several(vector: Any) -> bool:
    """True for rows of vectors."""
    if isinstance(vector, Tensor | np.ndarray):
        return vector.ndim == 2
    first = vector[0] if isinstance(vector, list | tuple) and vector else None
    return isinstance(first, Given | Tensor | np.ndarray | list | tuple)


def _of_text(subject: Subject, text: str | Messages, position: Position) -> Given:
    whole = cut(subject, text, position)
    source = tuple(keep_last(whole, subject.prefix, subject.longest))
    return Given(subject.show(source), source, len(whole) - len(source))
