"""Answers as the page has them: JSON in which texts are texts, and undefined is null."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from inversescope import files
from inversescope.verdicts import BELOW_NOISE, wording
from inversescope.verdicts.used import BOTH

if TYPE_CHECKING:
    from inversescope.explain.explanation import Explanation, Finding
    from inversescope.inverter import Inversion, InvertedSample
    from inversescope.natural_text.answer import Answer
    from inversescope.natural_text.first_look import FirstLook, Nearest


def inversion(answer: Inversion) -> dict[str, Any]:
    """Draws of a generator, each input once, and how good they are together."""
    return files.plain(
        {
            "text": answer.text,
            "cut_off": answer.cut_off.strip(),
            "site": answer.site,
            "level": answer.level,
            "bandwidth": answer.bandwidth,
            "resolution": answer.resolution,
            "draws": len(answer.samples),
            "size": answer.effective_sample_size,
            "pareto_k": answer.pareto_k,
            "distances": answer.distances,
            "typical": {"reference": answer.typical.reference, "prior": answer.typical.prior},
            "counts": answer.typical.acceptance_counts,
            "outside": answer.outside.words if answer.outside.outside else None,
            "left_out": answer.left_out,
            "warnings": _warnings(answer),
            "notes": answer.notes[:1],
            "shared": [] if answer.outside.outside else _shared(answer),
            "rows": [sample(each, answer.text, answer.tokens) for each in answer.distinct],
        }
    )


def sample(draw: InvertedSample, source: str, own: Sequence[int] | None) -> dict[str, Any]:
    """One input that was drawn, with the words that differ from the source's."""
    return {
        "text": draw.text,
        "pieces": None if draw.text is None else wording.pieces(source if own is not None else draw.text, draw.text),
        "distance": draw.distance,
        "weight": draw.weight,
        "times": draw.times,
        "accepted": draw.accepted,
        "source": own is not None and draw.tokens == own,
        "log_q": draw.log_q,
        "labels": dict(draw.labels),
    }


def _warnings(answer: Inversion) -> list[str]:
    below = [f"h is {BELOW_NOISE}"] if answer.below_noise else []
    return [*answer.notes[1:], *below]


def _shared(answer: Inversion) -> list[dict[str, Any]]:
    """The weight that shares each of the source's labels; of a vector, the heaviest label."""
    if answer.tokens is None:
        rows = []
        for name in answer.labels:
            label, share = answer.heaviest(name) or (None, None)
            rows.append({"feature": name, "value": label, "weight": share, "others": None})
        return rows
    return [
        {
            "feature": name,
            "value": value,
            "weight": answer.shared(name),
            "others": answer.shared(name, others=True),
        }
        for name, value in answer.labels.items()
    ]


def first_look(look: FirstLook, found: Nearest) -> dict[str, Any]:
    """The nearest of a model's own texts, before there are draws."""
    return files.plain(
        {
            "look": True,
            "text": look.source,
            "level": f"the nearest of {found.texts:,} texts that the model wrote by itself",
            "draws": found.texts,
            "ruler": [[0, found.unrelated]],
            "rows": [
                {**_natural_row(text, look.source), "pieces": [text.text], "weight": None, "times": 1}
                for text in found.nearest
            ],
        }
    )


def natural(answer: Answer) -> dict[str, Any]:
    """Draws of natural text, or why there are none."""
    total = sum(draw.times for draw in answer.draws)
    rows = [
        {**_natural_row(draw, answer.source), "weight": draw.times / total, "times": draw.times}
        for draw in answer.draws
    ]
    bits = (
        f"{wording.number(answer.bits)} bits kept"
        if answer.believed
        else f"{answer.bits_wanted or wording.DASH} bits wanted"
    )
    believed = None if answer.believed else answer.believed_bits
    at_most = f"To be believed here: {'no resolution' if believed is None else f'at most {believed:.1f} bits'}."
    return files.plain(
        {
            "text": answer.source,
            "site": answer.site,
            "level": f"{bits} at {wording.bandwidth(answer.bandwidth)}",
            "bandwidth": answer.bandwidth,
            "draws": total,
            "size": answer.size,
            "left_out": None if answer.believed else answer.verdict,
            "believed_bits": believed,
            "notes": [f"prior: {answer.prior}, inputs of {answer.length} tokens"],
            "warnings": [] if answer.believed else [at_most],
            "ruler": [[int(shared), median] for shared, median in answer.ruler.items()],
            "shared": [],
            "rows": rows,
        }
    )


def _natural_row(draw: Any, source: str) -> dict[str, Any]:
    return {
        "text": draw.text,
        "pieces": wording.pieces(source, draw.text),
        "distance": draw.distance,
        "accepted": False,
        "source": draw.text == source,
        "log_p": draw.log_p,
        "ruler": draw.ruler,
        "labels": {},
    }


def explanation(found: Explanation) -> dict[str, Any]:
    """Hypotheses about one activation, those above chance first."""
    (only,) = found.sites
    return files.plain(
        {
            "text": found.text,
            "site": only.site,
            "level": only.inversion.level,
            "verdict": only.verdict,
            "outside": only.inversion.outside.words if only.inversion.outside.outside else None,
            "left_out": only.inversion.left_out,
            "null": only.null._asdict(),
            "null_passes": only.null_passes,
            "findings": [finding(each, only.inversion) for each in only.findings],
        }
    )


def finding(each: Finding, confirm: Inversion) -> dict[str, Any]:
    """One hypothesis with its numbers, draws for it and one against it."""
    rows = [sample(draw, confirm.text, confirm.tokens) for draw in each.supporting]
    against = None if each.against is None else sample(each.against, confirm.text, confirm.tokens)
    return {
        "hypothesis": each.hypothesis,
        "synonyms": list(each.synonyms),
        "words": each.words,
        "value": each.value,
        "corrected": each.corrected._asdict(),
        "others": each.others._asdict(),
        "necessity": each.necessity._asdict(),
        "chance": each.chance,
        "bits": each.bits,
        "q_value": each.q_value,
        "above_chance": each.above_chance,
        "used": each.use == BOTH,
        "use": each.use,
        "reason": each.reason,
        "note": each.note,
        "for": rows,
        "against": against,
    }
