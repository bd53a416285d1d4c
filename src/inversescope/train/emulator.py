"""Emulator of the subject: activations of inputs that were not read, predicted from their tokens.

Inputs of a prior cost nothing; their activations cost a pass through the subject. Kernel ridge regression from the
indicators of an input to its activation, fitted in closed form to the inputs that were read, stands in for the subject
on all others (in the analysis of computer models such a function is an emulator: Kennedy and O'Hagan 2001, JRSS B 63).
So the generator can be trained on inputs that were never read, and has no small set to copy. Only training uses it:
every draw is read by the subject itself.

Dimensions: `read` inputs that were read, `n` others, `d` coordinates of a site.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope.generator.indicators import Indicators
from inversescope.sites import Site
from inversescope.units import Units

MOST = 4096  # inputs read that it is fitted to: the fit takes their number cubed
TRIED = 1024  # of them, on which degree and penalty are chosen
DEGREES = (2, 3)  # of the polynomial kernel: pairs, triples of indicators
PENALTIES = (1e-3, 1e-2, 1e-1)  # of the ridge, over the kernel's mean diagonal


@dataclass(frozen=True)
class SiteFit:
    """Regression of one site, in its standardized coordinates.

    Attributes:
        error: root mean square error δ over the inputs that it was fitted to, each predicted from the others.
        nearest: root mean square δ from each of these inputs to the nearest other: the error of the nearest neighbour.
    """

    degree: int
    mean: Float[Tensor, " d"]
    coefficients: Float[Tensor, "read d"]
    error: float
    nearest: float

    @property
    def useful(self) -> bool:
        """True if a predicted activation is nearer to the real one than the activation of any input read."""
        return self.error < self.nearest

    def to(self, device: torch.device) -> SiteFit:
        """Copy on another device."""
        return replace(self, mean=self.mean.to(device), coefficients=self.coefficients.to(device))


class Emulator:
    """Kernel ridge regression with the kernel (1 + φ(x)·φ(x')/c)^degree over indicators φ, c the mean of φ(x)·φ(x)."""

    def __init__(self, inputs: Int[Tensor, "read positions"]):
        self.indicators = Indicators.of(inputs)
        self.features = self.indicators.matrix(inputs)
        self.scale = float(self.features.sum(1).mean())
        self.sites: dict[Site, SiteFit] = {}

    @classmethod
    def of(
        cls,
        inputs: Int[Tensor, "read positions"],
        activations: Mapping[Site, Float[Tensor, "read _"]],
        units: Mapping[Site, Units],
    ) -> Self:
        """Fit to distinct inputs, as rows of the vocabulary, and their activations; the first `MOST` are used."""
        emulator = cls(inputs[:MOST])
        standardized = {site: units[site].standardize(read[:MOST]) for site, read in activations.items()}
        chosen = emulator._choose(standardized)
        inverses = {
            choice: _inverse(emulator._kernel(emulator.features, choice[0]), choice[1]) for choice in {*chosen.values()}
        }
        for site, choice in chosen.items():
            emulator.sites[site] = _fit(choice[0], inverses[choice], standardized[site], units[site])
        return emulator

    def to(self, device: torch.device) -> Self:
        """Move to another device."""
        self.indicators, self.features = self.indicators.to(device), self.features.to(device)
        self.sites = {site: fit.to(device) for site, fit in self.sites.items()}
        return self

    def predict(
        self, inputs: Int[Tensor, "n positions"], units: Mapping[Site, Units]
    ) -> dict[Site, Float[Tensor, "n _"]]:
        """Activations of inputs at some sites, in the subject's own units."""
        features = self.indicators.matrix(inputs)
        kernels = {degree: self._kernel(features, degree) for degree in {self.sites[site].degree for site in units}}
        predicted = {}
        for site, unit in units.items():
            fit = self.sites[site]
            predicted[site] = (kernels[fit.degree] @ fit.coefficients + fit.mean) * unit.deviation + unit.mean
        return predicted

    def _kernel(self, features: Float[Tensor, "n columns"], degree: int) -> Float[Tensor, "n read"]:
        return (features @ self.features.T).div_(self.scale).add_(1).pow_(degree)

    def _choose(self, standardized: Mapping[Site, Float[Tensor, "read _"]]) -> dict[Site, tuple[int, float]]:
        """Degree and penalty of each site with the smallest error on some inputs, each predicted from the others."""
        errors: dict[Site, dict[tuple[int, float], float]] = {site: {} for site in standardized}
        few = self.features[:TRIED]
        for degree in DEGREES:
            kernel = (few @ few.T / self.scale + 1) ** degree
            for penalty in PENALTIES:
                inverse = _inverse(kernel, penalty)
                for site, values in standardized.items():
                    left_out = _left_out(inverse, values[:TRIED] - values.mean(0))
                    errors[site][degree, penalty] = float((left_out**2).mean())
        return {site: min(found, key=found.__getitem__) for site, found in errors.items()}


def _fit(degree: int, inverse: Float[Tensor, "read read"], values: Float[Tensor, "read d"], units: Units) -> SiteFit:
    mean = values.mean(0)
    left_out = _left_out(inverse, values - mean)
    distances = torch.cdist(values[:TRIED], values) / units.dimension**0.5
    distances[torch.arange(len(distances)), torch.arange(len(distances))] = torch.inf
    return SiteFit(
        degree,
        mean,
        inverse @ (values - mean),
        error=float(((left_out**2).sum(1) / units.dimension).mean().sqrt()),
        nearest=float((distances.amin(1) ** 2).mean().sqrt()),
    )


def _inverse(kernel: Float[Tensor, "n n"], penalty: float) -> Float[Tensor, "n n"]:
    """Inverse of the kernel plus the ridge; in float64, in which the kernel's small eigenvalues are known."""
    exact = kernel.to(torch.float64, copy=True)
    exact.diagonal().add_(penalty * exact.diagonal().mean())
    return torch.cholesky_inverse(torch.linalg.cholesky(exact)).float()


def _left_out(inverse: Float[Tensor, "n n"], values: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Errors of the fit at each input without that input, in closed form (Wahba 1990, section 4.2)."""
    return (inverse @ values) / inverse.diagonal()[:, None]
