"""One feature over layers: the reference with its interval, the generator beside it, and the controls."""

from __future__ import annotations

from inversescope.charts.parts import (
    MEASURES,
    NOTHING_CLAIMED,
    SCORE_TIP,
    SCORE_WORDS,
    Spec,
    defined,
    frame,
    layer,
    legend,
    level_line,
    of_method,
    over_layers,
    size,
    undefined_note,
    vertical,
)
from inversescope.charts.theme import METHODS

LINES = ("nearest", "shuffled", "no condition", "reference")
MARKS = {"generator": ("circle", -3.5), "weighted": ("diamond", 3.5)}


def layers(depth: int, measure: str = "corrected", point: str = "") -> Spec:
    """The chart of a model with so many layers; its rows are those of scores (`rows.of_scores`)."""
    x = over_layers(depth)
    of = {"feature": "feature", "level": "level", "point": "point"}
    table = {"layer": "layer", "method": "method", measure: MEASURES[measure], "chance": "chance", "targets": "targets"}
    chart = frame("scores", f"{MEASURES[measure]} of one feature over layers", {"head": [None]}, of, table)
    return (
        chart
        | size(280)
        | {
            "title": f"{MEASURES[measure]}{f', {point},' if point else ''} over layers",
            "transform": SCORE_WORDS,
            "layer": [
                claims(x),
                chance_line(measure),
                *band(x, measure),
                *(curve(method, x, measure) for method in LINES),
                *(layer for method in MARKS for layer in marks(method, x, measure)),
                undefined_note(measure),
                legend(METHODS, {method: shape for method, (shape, _) in MARKS.items()}),
            ],
        }
    )


def claims(x: Spec, where: str = NOTHING_CLAIMED) -> Spec:
    """Grey strips at the layers at which nothing is claimed, by an expression about a row."""
    here = of_method("reference", "weighted", "generator")
    once = {"aggregate": [{"op": "count", "as": "rows"}], "groupby": ["layer"]}
    ends = [{"calculate": f"datum.layer {sign} 0.5", "as": end} for sign, end in (("-", "from"), ("+", "to"))]
    words = {"value": "nothing is claimed at this layer"}
    encoding = {"x": {**x, "field": "from"}, "x2": {"field": "to"}, "tooltip": words}
    return layer("rect", "nothing claimed", encoding, here, {"filter": where}, once, *ends, aria=False)


def chance_line(measure: str) -> Spec:
    """The level of chance: that of the feature for FCR, else 0."""
    return level_line("datum.chance" if measure == "fcr" else "0", "chance", "y", defined(measure))


def band(x: Spec, measure: str) -> list[Spec]:
    """The interval of the reference."""
    y = {"y": axis(measure, f"{measure}_low"), "y2": {"field": f"{measure}_high"}}
    return [layer("area", "reference band", {"x": x, **y}, of_method("reference"), defined(f"{measure}_low"))]


def axis(measure: str, field: str | None = None) -> Spec:
    """The vertical axis of a measure: to 1, or to the most bits there are."""
    scale = {"nice": False, "zero": True} | ({} if measure == "bits" else {"domainMax": 1})
    return vertical(field or measure, scale)


def curve(method: str, x: Spec, measure: str) -> Spec:
    """The line of a method, broken where it is undefined, and points that show their numbers."""
    encoding = {"x": x, "y": axis(measure)}
    line = layer("line", f"{method} line", encoding, invalid="break-paths-show-domains")
    points = layer("point", f"{method} mark", encoding | {"tooltip": SCORE_TIP}, defined(measure), opacity=0, size=180)
    return {"transform": [of_method(method)], "layer": [line, points]}


def marks(method: str, x: Spec, measure: str) -> list[Spec]:
    """Marks with their intervals: full where generator and reference agree, hollow elsewhere."""
    shape, shift = MARKS[method]
    here = [of_method(method), defined(measure)]
    encoding = {"x": x, "y": axis(measure)}
    ends = {"x": x, "y": axis(measure, f"{measure}_low"), "y2": {"field": f"{measure}_high"}}
    full = {"condition": {"test": "datum.verdict === 'agrees'", "value": 1}, "value": 0}
    look = {"shape": shape, "size": 52, "xOffset": shift}
    return [
        layer("rule", method, ends, *here, defined(f"{measure}_low"), xOffset=shift, strokeWidth=1.3),
        layer("point", "paper", encoding, *here, **look),
        layer("point", f"{method} mark", encoding | {"fillOpacity": full, "tooltip": SCORE_TIP}, *here, **look),
    ]
