"""An inversion as a notebook shows it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from inversescope.verdicts import BELOW_NOISE, wording

if TYPE_CHECKING:
    from inversescope.inverter.inversion import Inversion


def inversion_html(inversion: Inversion) -> str:
    """The samples of an inversion, nearest first, below its numbers and notes."""
    counts = inversion.typical.acceptance_counts
    body = [
        _row(
            [
                wording.number(sample.distance),
                wording.number(sample.weight),
                sample.times,
                *(["yes" if sample.accepted else ""] if counts else []),
                f"<bdi>{marked(inversion.source_text, sample.text)}</bdi>",
            ]
        )
        for sample in inversion.distinct
    ]
    head = ["δ", "weight", "draws", *(["accepted"] if counts else []), "sample"]
    return (
        f"<p>{f'<b>{inversion.outside.words}</b><br>' if inversion.outside.outside else ''}"
        f"<bdi><b>{escape(wording.visible(inversion.text))}</b></bdi>{escape(inversion.cut_off)}<br>"
        f"{inversion.site}, {inversion.level}; {len(inversion.samples)} samples, {len(inversion.distinct)} distinct, "
        f"{inversion.distances}, effective sample size {inversion.effective_sample_size:.1f}, "
        f"Pareto k̂ {wording.number(inversion.pareto_k)}{f'; h is {BELOW_NOISE}' if inversion.below_noise else ''}<br>"
        f"{escape('; '.join(inversion.notes))}{'' if inversion.outside.outside else _features(inversion)}</p>"
        f"<table>{_row(head, 'th')}{''.join(body)}</table>"
    )


def _features(inversion: Inversion) -> str:
    """The weight that shares each of the source's labels; of a vector, which has none, the heaviest label of each."""
    if inversion.tokens is None:
        found = {name: inversion.heaviest(name) for name in inversion.labels}
        shown = (
            f"{escape(name)}: {wording.DASH if label is None else f'{escape(label[0])} {wording.number(label[1])}'}"
            for name, label in found.items()
        )
        return f"<br>label with the most weight: {'; '.join(shown)}"
    shown = (
        f"{escape(name)} {wording.number(inversion.shared(name))} "
        f"({wording.number(inversion.shared(name, others=True))})"
        for name in inversion.labels
    )
    return f"<br>weight that shares the source's label (in brackets: without the source itself): {', '.join(shown)}"


def _row(cells: Sequence[object], tag: str = "td") -> str:
    return "<tr>" + "".join(f"<{tag} style='text-align:left'>{cell}</{tag}>" for cell in cells) + "</tr>"


def marked(source: str | None, sample: str | None) -> str:
    """The sample as HTML, its words that differ from the source's in bold; none where there is no source."""
    if sample is None:
        return "<i>never ended</i>"
    return wording.marked(source or sample, sample, lambda words: f"<b>{escape(words)}</b>", escape)
