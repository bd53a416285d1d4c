"""What an explanation holds. Undefined is NaN here, and null in its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isnan
from typing import Any

from inversescope.inverter import Inversion, InvertedSample
from inversescope.stats.intervals import Estimate
from inversescope.verdicts import above_chance


@dataclass(frozen=True)
class Finding:
    """What the confirming draws say of one hypothesis about one activation.

    Attributes:
        hypothesis: the feature, by name or as an expression.
        words: what the expression says; empty for a feature of the task.
        value: the source's label.
        chance: the prior's share of that label.
        share: the weight of the samples that have it, with its 95% interval; undefined where weights have collapsed.
        corrected: (share − chance) / (1 − chance); 0 is chance, 1 is fully determined.
        bits: how much less uncertain the label is than under the prior.
        p_value: how often chance alone gives as much.
        q_value: the same over all hypotheses and sites of the explanation (Benjamini and Hochberg).
        sufficiency, necessity: of activations with the same label, and with another, put in place of the source's,
            with their 95% intervals over donors; undefined where the site cannot be set, where that does nothing, or
            where no donor has the label, and without an interval where too few have.
        supporting: the nearest distinct samples with the source's label.
        against: the heaviest sample with another.
    """

    hypothesis: str
    words: str
    value: str
    chance: float
    share: Estimate
    corrected: Estimate
    bits: float
    p_value: float
    q_value: float
    sufficiency: Estimate
    necessity: Estimate
    supporting: tuple[InvertedSample, ...]
    against: InvertedSample | None

    @property
    def above_chance(self) -> bool:
        """Whether the activation says more of it than the prior does, by its interval and over all that was tested."""
        return above_chance(self.corrected.low, self.q_value)


@dataclass(frozen=True)
class SiteExplained:
    """One site: its confirming draws, and the hypotheses, the surest first.

    `verdict` is what the run's calibration says of the generator at the site; None where it was not asked.
    """

    site: str
    verdict: str | None
    inversion: Inversion
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Explanation:
    """What the activations of one text at one position encode, site by site in order of depth.

    `text` is the source input, up to the position that was read; `bandwidth` is h.
    """

    text: str
    bandwidth: float
    sites: tuple[SiteExplained, ...]

    def table(self) -> dict[str, dict[str, Finding]]:
        """hypothesis -> site -> finding, of those that are above chance at any site, as they appear over depth."""
        appeared = {f.hypothesis: None for each in self.sites for f in each.findings if f.above_chance}
        found = {each.site: {f.hypothesis: f for f in each.findings} for each in self.sites}
        return {name: {site: row[name] for site, row in found.items() if name in row} for name in appeared}

    def record(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        return _plain(asdict(self))


def _plain(value: Any) -> Any:
    """Named values and tuples as JSON has them; undefined is null."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and isnan(value) else value
