"""Options of the commands that take a vector in place of a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

import typer

from inversescope.errors import UserError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from inversescope.inverter import Given, Inverter
    from inversescope.position import Position
    from inversescope.sites import Site
    from inversescope.subject import Subject

NONE: Mapping[str, Path] = MappingProxyType({})

VectorOption = Annotated[
    list[str] | None,
    typer.Option(
        "--vector",
        metavar="FILE[:NAME][:ROW]",
        help="Activation in place of TEXT, or several: from a .safetensors, .npy, .npz or .pt file; NAME picks a "
        "tensor, ROW (or `mean`) a row of a matrix. It is taken as it is, in the model's own units.",
    ),
]
BaseOption = Annotated[
    str | None, typer.Option("--base", help="Text to whose activation the vector of --add is added, in place of TEXT.")
]
AddOption = Annotated[
    str | None,
    typer.Option(
        "--add",
        metavar="FILE[:NAME][:ROW]",
        help="Vector that is added to the activation of --base: a steering vector, a probe's direction, a row of an "
        "autoencoder's decoder (its folder, or its name in the run's config, and :ROW).",
    ),
]
ScaleOption = Annotated[
    list[float] | None,
    typer.Option("--scale", help="Factor of the vector of --add, or several; it is not normalised. Default: 1."),
]


@dataclass(frozen=True)
class Vectors:
    """The options as they are given."""

    vector: list[str] | None = None
    base: str | None = None
    add: str | None = None
    scale: list[float] | None = None

    @property
    def given(self) -> bool:
        """True where a vector takes the place of a text.

        Raises:
            UserError: options contradict each other.
        """
        if (self.base is None) != (self.add is None):
            present, missing = ("--add", "--base") if self.base is None else ("--base", "--add")
            raise UserError("a vector is added to the activation of a text", given=present, remedy=f"{missing} too")
        if self.vector and self.base is not None:
            raise UserError("one activation is inverted", given="--vector and --base", allowed="either of them")
        if self.scale and self.add is None:
            raise UserError("there is nothing to scale", given="--scale", remedy="--base TEXT --add FILE")
        return bool(self.vector) or self.base is not None

    def read(self, inverter: Inverter, sites: Sequence[Site], position: Position) -> list[Given]:
        """The vectors, checked for every site of a trained run.

        Raises:
            UserError: a file holds no such vector, or it cannot be an activation of a site.
        """
        run = inverter.run
        base = self.base
        bases = {} if base is None else {s: inverter.activation(base, site=s, position=position) for s in sites}
        return self.of(run.subject, sites, bases, run.config.subject.projections)

    def of(
        self,
        subject: Subject,
        sites: Sequence[Site],
        bases: Mapping[Site, Float[Tensor, " d"]],
        named: Mapping[str, Path] = NONE,
    ) -> list[Given]:
        """The vectors, checked for every site. `bases` are the activations of the base; `named`: projections.

        Raises:
            UserError: a file holds no such vector, or it cannot be an activation of a site.
        """
        from inversescope.inverter import Given
        from inversescope.subject.vectors import checked, read_vector

        if self.base is None or self.add is None:
            read = {name: read_vector(name, named) for name in self.vector or []}
            return [
                Given(name, None, vector={site: checked(values, subject.dimension(site), name) for site in sites})
                for name, values in read.items()
            ]
        added = read_vector(self.add, named)
        steps = {site: checked(added, subject.dimension(site), self.add) for site in sites}
        return [
            Given(
                f"{self.base} + {scale:g} × {self.add}",
                None,
                vector={site: bases[site] + scale * steps[site] for site in sites},
            )
            for scale in self.scale or [1.0]
        ]

    def alone(self, inverter: Inverter, sites: Sequence[Site], position: Position) -> Given:
        """The one vector that is explained.

        Raises:
            UserError: several are given, or it cannot be read.
        """
        read = self.read(inverter, sites, position)
        if len(read) > 1:
            raise UserError("one vector is explained at a time", given=f"{len(read)} vectors", allowed="one")
        return read[0]
