"""One feature over layers and heads, as a map."""

from __future__ import annotations

from inversescope.charts.parts import (
    LEFT,
    MEASURES,
    SCORE_TIP,
    SCORE_WORDS,
    Spec,
    defined,
    frame,
    layer,
    size,
)

_SLASH = "M-1,1L1,-1"  # the mark of an undefined cell


def heads(depth: int, count: int, measure: str = "corrected") -> Spec:
    """The map of a model with so many layers, and heads in each; its rows are those of scores (`rows.of_scores`)."""
    tall = max(9, min(17, 480 // max(1, count)))
    table = {"layer": "layer", "head": "head", "method": "method", measure: MEASURES[measure], "chance": "chance"}
    of = {"feature": "feature", "level": "level", "method": "heads"}
    place = {"x": _axis("layer", depth, 15), "y": _axis("head", count, 12) | {"sort": "ascending"}}
    most = {} if measure == "bits" else {"domainMax": 1}
    scale = {"range": "heatmap", "domainMin": 0, "clamp": True, **most}
    colour = {"field": measure, "type": "quantitative", "scale": scale, "legend": _legend()}
    cell = layer("rect", "cell", place | {"color": colour, "tooltip": SCORE_TIP}, defined(measure), stroke=None)
    grid = {"data": {"sequence": {"start": 0, "stop": depth * count, "as": "cell"}}}
    split = [
        {"calculate": f"floor(datum.cell / {count})", "as": "layer"},
        {"calculate": f"datum.cell % {count}", "as": "head"},
    ]
    without = {"filter": f"datum.{measure} == null"}
    empty = layer("rect", "cell", place | {"tooltip": SCORE_TIP}, without, fillOpacity=0)
    slash = grid | layer("point", "undefined", place, *split, shape=_SLASH, size=tall * 5, filled=False)
    chart = frame(
        "scores", f"{MEASURES[measure]} of one feature over layers and heads", {"head": list(range(count))}, of, table
    )
    return (
        chart
        | size(count * tall + 74)
        | {
            "title": f"{MEASURES[measure]}, heads by layer (a stroke: undefined)",
            "transform": SCORE_WORDS,
            "layer": [slash, cell, empty],
        }
    )


def _axis(field: str, count: int, most: int) -> Spec:
    """Every layer and every head has its place, whether it was read or not."""
    every = list(range(count))
    step = -(-count // most)
    extent = {"minExtent": LEFT, "maxExtent": LEFT} if field == "head" else {}
    axis = {"values": every[::step], "labelAngle": 0, "grid": False, **extent}
    return {
        "field": field,
        "type": "ordinal",
        "title": "layer" if field == "layer" else None,
        "axis": axis,
        "scale": {"domain": every, "padding": 0.04},
    }


def _legend() -> Spec:
    return {
        "orient": "bottom",
        "title": None,
        "gradientLength": 128,
        "gradientThickness": 10,
        "tickCount": 3,
        "offset": 4,
    }
