"""Encoded and used: the score of a feature against the effect of other activations, site by site."""

from __future__ import annotations

from inversescope.charts.parts import (
    Spec,
    defined,
    frame,
    interval,
    layer,
    level_line,
    quantitative,
    size,
    tip,
    vertical,
)
from inversescope.verdicts import ENCODED, USED

HEIGHT = 330
_TITLE = "corrected score, at the finest resolution at which it is reliable"
_STRIP = 22  # pixels below the axis, for sites that hardly move anything and have no necessity
_TIP = tip(
    site="site",
    verdict="verdict",
    reason="reason",
    corrected__in__words="corrected score",
    necessity__in__words="necessity",
    sufficiency__in__words="sufficiency",
    targets="targets",
    matched="of minimal pairs in",
    from_pool="of the pool in",
    continuation="compared behind",
)


def used(layers_are_named: bool = True) -> Spec:
    """The chart of one feature; its rows are those of `rows.of_used`."""
    table = {
        "site": "site",
        "verdict": "verdict",
        "corrected": "corrected score",
        "necessity": "necessity",
        "sufficiency": "sufficiency",
    }
    chart = frame(
        "used", "corrected score of one feature against its necessity, by site", {}, {"feature": "feature"}, table
    )
    clipped = [_clip(f"{name}{end}") for name in ("corrected", "necessity") for end in ("", "_low", "_high")]
    words = [interval(name) for name in ("corrected", "necessity", "sufficiency")]
    labels = [{"filter": "datum.layer != null && datum.head == null"}] if layers_are_named else [{"filter": "false"}]
    moves, still = {"filter": "datum.necessity != null"}, {"filter": "datum.necessity == null"}
    named = {"x": _x("corrected shown"), "text": {"field": "layer"}}
    return (
        chart
        | size(HEIGHT)
        | {
            "title": "necessity",
            "transform": [defined("corrected"), *clipped, *words],
            "layer": [
                level_line(f"{ENCODED}", "limit", "x", title=_TITLE),
                level_line(f"{USED}", "limit"),
                _region("encoded and used", "width", -6, "right"),
                _region("encoded, unused", "width", None, "right"),
                _region("none", 0, "height", "right", yOffset=_STRIP),
                *_marks(moves, _y("necessity shown")),
                *_marks(still, {"value": "height"}, yOffset=_STRIP),
                layer("text", "note", named | {"y": _y("necessity shown")}, moves, *labels, dx=6, dy=-7, align="left"),
                layer(
                    "text",
                    "note",
                    named | {"y": {"value": "height"}},
                    still,
                    *labels,
                    dx=6,
                    dy=_STRIP - 7,
                    align="left",
                ),
            ],
        }
    )


def _clip(name: str) -> Spec:
    return {"calculate": f"datum.{name} == null ? null : clamp(datum.{name}, -1, 2)", "as": f"{name} shown"}


def _x(field: str) -> Spec:
    axis = {"grid": False, "format": ".1f", "tickCount": 6, "offset": _STRIP + 12, "labelFlush": False}
    return quantitative(field, axis=axis, scale={"domainMax": 1, "nice": False}) | {"title": _TITLE}


def _y(field: str) -> Spec:
    return vertical(field, {"nice": False}, format=".1f")


def _region(words: str, x: str | int, y: str | int | None, align: str, **look: object) -> Spec:
    place = {"x": {"value": x}, "y": quantitative("line") if y is None else {"value": y}, "text": {"value": words}}
    once = [{"aggregate": [{"op": "count", "as": "rows"}]}, {"calculate": f"{USED}", "as": "line"}]
    return layer("text", "note", place, *once, align=align, dx=-2, dy=0 if y is not None else 12, **look)


def _marks(here: Spec, y: Spec, **place: int) -> list[Spec]:
    """Marks with the intervals of both axes; hollow where the test cannot tell."""
    x, full = _x("corrected shown"), {"condition": {"test": "datum.verdict === 'cannot tell'", "value": 0}, "value": 1}
    upright = {"x": x, "y": _y("necessity_low shown"), "y2": {"field": "necessity_high shown"}}
    flat = {"y": y, "x": _x("corrected_low shown"), "x2": {"field": "corrected_high shown"}}
    look = {"shape": "diamond", "size": 56, **place}
    bars = [layer("rule", "weighted", flat, here, defined("corrected_low"), strokeWidth=1.2, **place)]
    if "field" in y:
        bars.append(layer("rule", "weighted", upright, here, defined("necessity_low"), strokeWidth=1.2))
    marks = {"x": x, "y": y}
    return [
        *bars,
        layer("point", "paper", marks, here, **look),
        layer("point", "weighted mark", marks | {"fillOpacity": full, "tooltip": _TIP}, here, **look),
    ]
