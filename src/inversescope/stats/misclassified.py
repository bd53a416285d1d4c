"""Shares behind answers that may be wrong: corrected for the error of whoever gave them, with their interval.

A share s of true labels shows as a = s·Se + (1 − s)·(1 − Sp) of the answers, where Se and Sp are the shares of right
answers where "yes" and where "no" is right. So s = (a + Sp − 1)/(Se + Sp − 1) (Rogan and Gladen 1978, Am. J. Epidemiol.
107:71). Se and Sp are measured on finitely many known answers; the interval has their error in it (Lang and Reiczigel
2014, Prev. Vet. Med. 113:13). It supposes that the errors are as frequent here as where the answers are known.
"""

from __future__ import annotations

from typing import NamedTuple

from inversescope.stats.intervals import UNDEFINED, Estimate, t_quantile


class Accuracy(NamedTuple):
    """Shares of right answers where "yes" is right and where "no" is, each of so many known answers."""

    sensitivity: float
    specificity: float
    positives: int
    negatives: int

    @property
    def _smoothed(self) -> tuple[float, float, float, float]:
        """Both shares with one right and one wrong answer added to each, and their variances."""
        shares = [
            (share * n + 1) / (n + 2)
            for share, n in ((self.sensitivity, self.positives), (self.specificity, self.negatives))
        ]
        sizes = (self.positives, self.negatives)
        variances = [share * (1 - share) / (n + 2) for share, n in zip(shares, sizes, strict=True)]
        return shares[0], shares[1], variances[0], variances[1]

    @property
    def above_chance(self) -> bool:
        """True where Se + Sp − 1 is above 0 by its whole interval: a coin has 0, whatever its bias."""
        sensitivity, specificity, of_yes, of_no = self._smoothed
        return sensitivity + specificity - 1 > t_quantile(float("inf")) * (of_yes + of_no) ** 0.5


def corrected_share(rate: float, size: float, accuracy: Accuracy) -> Estimate:
    """The share of true labels behind a share of answers among `size` inputs; undefined where the answers are no better
    than chance, or where there is no share.
    """
    if not 0 <= rate <= 1 or not accuracy.above_chance:
        return UNDEFINED
    z = t_quantile(float("inf"))
    sensitivity, specificity, of_yes, of_no = accuracy._smoothed
    gain, inputs = sensitivity + specificity - 1, size + z**2
    shown = (size * rate + z**2 / 2) / inputs
    centre = (shown + specificity - 1) / gain
    shift = 2 * z**2 * (centre * of_yes - (1 - centre) * of_no)
    reach = z * (shown * (1 - shown) / inputs + centre**2 * of_yes + (1 - centre) ** 2 * of_no) ** 0.5 / gain
    value = min(1.0, max(0.0, (rate + accuracy.specificity - 1) / (accuracy.sensitivity + accuracy.specificity - 1)))
    low, high = (min(1.0, max(0.0, centre + shift + side * reach)) for side in (-1, 1))
    return Estimate(value, min(low, value), max(high, value))
