"""Interface of an annotator: a library and its model, which add to a text what its letters do not show."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from typing import Protocol, runtime_checkable

from inversescope.errors import UserError
from inversescope.extras import install

INSTALL = install("linguistics")


@runtime_checkable
class Annotator(Protocol):
    """A library with its model. Neither is loaded before the first text; nothing is downloaded.

    Attributes:
        name: its annotation of a text.
    """

    name: str

    def missing(self) -> str | None:
        """Installation command; None if it is installed."""
        ...

    def made_by(self) -> str:
        """The library and its model, with their versions; only where nothing is missing.

        Raises:
            UserError: the model cannot be loaded.
        """
        ...

    def learn(self, texts: Sequence[str]) -> None:
        """Annotate many texts at once, each no more than once; kept for later calls.

        Raises:
            UserError: the model cannot be loaded.
        """
        ...


def require(annotator: Annotator) -> None:
    """
    Raises:
        UserError: something of it is not installed.
    """
    if remedy := annotator.missing():
        raise UserError(f"{annotator.name} needs what is not installed", remedy=remedy)


def installed(*modules: str) -> bool:
    """True if all of them can be imported; none is imported."""
    return all(find_spec(module) is not None for module in modules)


def version(package: str) -> str:
    """A package and its version, as `spacy 3.8.18`."""
    return f"{package} {metadata.version(package)}"
