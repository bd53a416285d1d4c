"""Share of targets whose label each method identifies, with its interval: over all, and for each feature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from inversescope.charts.curves import tiles
from inversescope.charts.parts import Spec, defined, frame, interval, layer, quantitative, size, tip
from inversescope.charts.theme import METHODS

# Kinds of methods, each in the look of a method of a run.
KINDS = {"classifier": "gives probabilities", "samples": "counts the labels of inputs", "decoder": "names a word"}
_LOOKS = {"reference": "classifier", "generator": "samples", "weighted": "decoder"}
_ROW = 21  # pixels
_NAMES = 132  # pixels for the names of the methods
_TILE = 300  # pixels of the narrowest small chart, the names included
_VALUES = 112  # pixels for the numbers beside the rows


def identified(methods: Sequence[str]) -> Spec:
    """The chart over all features; rows: `method`, `kind`, `supervised`, `accuracy` with its interval, `answers`,
    `silent`.
    """
    chart = frame("identified", "Share of targets whose label is identified", values=_columns())
    number = {"y": _y(methods), "x": {"value": "width"}, "text": {"field": "accuracy in words"}}
    value = layer("text", "note", number, defined("accuracy"), align="left", dx=12, limit=_VALUES)
    return chart | size(_ROW * len(methods) + 88) | _inner(methods, [value])


def by_feature(methods: Sequence[str], features: Sequence[str]) -> Spec:
    """A chart for each feature, of the same rows with their `feature`."""
    table = {"feature": "feature", **_columns()}
    chart = frame("identified", "Share of targets whose label is identified, for each feature", values=table)
    made = tiles(chart, {"field": "feature", "sort": list(features)}, _inner(methods, []), _ROW * len(methods))
    made["usermeta"] |= {"tile": _TILE, "axis": _NAMES}
    return made


def _columns() -> Mapping[str, str]:
    return {"method": "method", "accuracy": "identified", "silent": "silent", "answers": "of", "kind": "kind"}


def _y(methods: Sequence[str]) -> Spec:
    axis = {"grid": False, "minExtent": _NAMES, "maxExtent": _NAMES, "labelLimit": _NAMES - 8}
    return {"field": "method", "type": "ordinal", "title": None, "sort": list(methods), "axis": axis}


def _inner(methods: Sequence[str], more: list[Spec]) -> Spec:
    x = quantitative("accuracy", axis={"format": ".2~f", "tickCount": 5}, scale={"domain": [0, 1]})
    y = _y(methods)
    words = "({" + ", ".join(f"{kind}: '{meaning}'" for kind, meaning in KINDS.items()) + "})[datum.kind]"
    domain = [KINDS.get(_LOOKS.get(method, ""), method) for method in METHODS]
    key = {"orient": "bottom", "title": None, "columns": 1, "labelLimit": 220, "values": list(KINDS.values())}
    colour = {
        "field": "kind in words",
        "type": "nominal",
        "scale": {"domain": domain, "range": "ordinal"},
        "legend": key,
    }
    full = {"condition": {"test": "datum.supervised", "value": 0}, "value": 1}
    ends = {"y": y, "x": x | {"field": "accuracy_low"}, "x2": {"field": "accuracy_high"}, "color": colour}
    lines = tip(
        method="method", accuracy__in__words="identified", labels="labels", silent="no answer for", answers="of"
    )
    mark = {"y": y, "x": x, "fill": colour, "stroke": colour, "fillOpacity": full, "tooltip": lines}
    labels = {"calculate": "datum.supervised ? 'was shown labels' : null", "as": "labels"}
    return {
        "transform": [{"calculate": words, "as": "kind in words"}, interval("accuracy"), labels],
        "layer": [
            layer("rule", "curve", ends, defined("accuracy_low"), strokeWidth=2),
            layer("point", "paper", {"y": y, "x": x}, defined("accuracy"), size=60),
            layer("point", "mark", mark, defined("accuracy"), size=60),
            *more,
        ],
    }
