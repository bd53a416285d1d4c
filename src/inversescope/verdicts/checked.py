"""Rule for a claim: supported, contradicted, said by the prior alone or by the ending alone, or cannot tell."""

from __future__ import annotations

from typing import NamedTuple

from inversescope.stats.intervals import Estimate
from inversescope.verdicts.thresholds import HALF, MARGIN, SIGNIFICANT
from inversescope.verdicts.wording import interval, number

SUPPORTED, CONTRADICTED, CANNOT_TELL = "supported", "contradicted", "cannot tell"
OF_PRIOR, OF_ENDING = "said by the prior alone", "said by the ending alone"
VERDICTS = (SUPPORTED, CONTRADICTED, OF_PRIOR, OF_ENDING, CANNOT_TELL)


class Shares(NamedTuple):
    """Share of the inputs with the claimed property, among the draws and by each control; NaN where undefined.

    Attributes:
        draws: verified draws, by their weights.
        others: draws other than the source itself.
        beyond_prior, beyond_ending, beyond_targets: the draws' share minus that of the prior, of inputs with the same
            ending, and of draws for other targets.
        undecided: share of the draws' weight that has no label.
        null: share of the draws with the source's label of the null feature, at the claim's own chance level.
        has_source: the activation is that of a text, which has an ending.
    """

    draws: Estimate
    others: Estimate
    beyond_prior: Estimate
    beyond_ending: Estimate
    beyond_targets: Estimate
    undecided: float
    null: Estimate
    has_source: bool


def checked(shares: Shares, q_value: float) -> tuple[str, str]:
    """The verdict on a claim, and the measurement that decides it; a limit that an interval contains decides nothing.

    A claim is supported where most inputs that give the activation have the property, the source left aside too, and
    more of them than of the prior, of draws for other targets, and of inputs with the same ending. A difference within
    the margin does not count, however sure it is: among many inputs even the smallest one is sure.
    """
    most = shares.draws
    words = f"share {interval(*most)}"
    if not most.low <= most.high:
        return CANNOT_TELL, "no draw is decided"
    if shares.undecided > HALF:
        return CANNOT_TELL, f"{number(shares.undecided)} of the draws' weight is undecided"
    if shares.null.low >= HALF:
        return CANNOT_TELL, "a hash of the input would be supported as well: too few inputs answer"
    more = shares.beyond_prior.low > 0
    if most.high < HALF:  # q plays no part: the other claims of a file make this difference no smaller
        rare = f"{words}: more than in the prior, and not in most" if more else f"{words}: not in most of the inputs"
        return CANNOT_TELL if more else CONTRADICTED, rare
    if most.low < HALF:
        return CANNOT_TELL, f"{words}: it may be in most of the inputs or not"
    if not (more and q_value <= SIGNIFICANT) or _as_much(shares.beyond_prior):
        return _level(OF_PRIOR, shares.beyond_prior, "the prior")
    if not shares.others.low >= HALF:
        return CANNOT_TELL, "the source itself has the weight: other inputs do not answer"
    if shares.beyond_targets.low <= 0 or _as_much(shares.beyond_targets):
        return _level(OF_PRIOR, shares.beyond_targets, "draws for other targets")
    if shares.has_source and (not shares.beyond_ending.low > 0 or _as_much(shares.beyond_ending)):
        return _level(OF_ENDING, shares.beyond_ending, "inputs with the same ending")
    return SUPPORTED, words


def ending_says(beyond: Estimate) -> str | None:
    """Note on a share or score, by its difference from that of inputs with the same ending: these have as much. None
    where they have less, where it is open, and where there is no comparison.
    """
    if beyond.low <= 0 and _as_much(beyond):
        return f"{OF_ENDING}: {interval(*beyond)} more than inputs with the same last tokens"
    return None


def _as_much(beyond: Estimate) -> bool:
    """True where a control has as much: its whole distance below the draws lies within the margin."""
    return beyond.high <= MARGIN


def _level(verdict: str, beyond: Estimate, control: str) -> tuple[str, str]:
    """The control says as much where there is no difference; elsewhere nothing is decided."""
    if not beyond.low <= beyond.high:
        return CANNOT_TELL, f"no comparison with {control}: too few"
    words = f"{interval(*beyond)} more than {control}"
    return (verdict, words) if _as_much(beyond) else (CANNOT_TELL, words)
