"""Cause, Isolate and Disentangle over sites, a curve for each way to intervene."""

from __future__ import annotations

from collections.abc import Sequence

from inversescope.charts.curves import AXIS, tiles
from inversescope.charts.parts import Spec, defined, frame, layer, legend, level_words, tip, vertical

CAUSAL = {"cause": "Cause", "isolate": "Isolate", "disentangle": "Disentangle"}
# Methods drawn as curves, each in the look of its inputs, with the shape of its marks; the table has all of them.
DRAWN = {
    "samples": ("generator", "circle"),
    "samples, means": ("weighted", "diamond"),
    "pool": ("reference", "square"),
    "pool, means": ("nearest", "triangle-up"),
    "pool, shuffled": ("shuffled", "cross"),
}


def disentangle(sites: Sequence[str], methods: Sequence[str]) -> Spec:
    """The chart of one attribute; its rows are those of `disentangle/results.parquet` with `attribute` in words."""
    table = {"method": "activation of", "site": "site", **CAUSAL, "targets": "targets"}
    chart = frame("disentangled", "Cause, Isolate and Disentangle over sites", {}, {"attribute": "attribute"}, table)
    long = [
        {"fold": list(CAUSAL), "as": ["measure", "value"]},
        *({"calculate": f"datum[datum.measure + '{end}']", "as": end.strip("_")} for end in ("_low", "_high")),
        {
            "calculate": "datum.value == null ? null : format(datum.value, '.2f') + (datum.low == null ? '' :"
            " ' [' + format(datum.low, '.2f') + ', ' + format(datum.high, '.2f') + ']')",
            "as": "value in words",
        },
        level_words(),
    ]
    drawn = [method for method in methods if method in DRAWN]
    axis = {"labelAngle": -45, "grid": False, "labelOverlap": "greedy", "labelLimit": 70}
    x = {
        "field": "site",
        "type": "ordinal",
        "title": None,
        "sort": list(sites),
        "axis": axis,
        "scale": {"domain": list(sites)},
    }
    shifts = {method: 2.5 * (place - (len(drawn) - 1) / 2) for place, method in enumerate(drawn)}
    looks = {DRAWN[method][0]: method for method in drawn}
    key = legend(list(looks), {DRAWN[method][0]: DRAWN[method][1] for method in drawn}, looks)
    inner = {"layer": [*(part for name in drawn for part in _curve(name, x, shifts[name])), key]}
    names = "({" + ", ".join(f"'{name}': '{word}'" for name, word in CAUSAL.items()) + "})[datum.value]"
    made = tiles(chart, {"field": "measure", "sort": list(CAUSAL)}, inner, 150)
    made["facet"]["header"]["labelExpr"] = names
    # The rows are made long before they are parted, so that each part has its measure.
    return made | {"transform": long, "spec": {**made["spec"], "transform": []}}


def _curve(method: str, x: Spec, shift: float) -> list[Spec]:
    style, shape = DRAWN[method]
    here, y = (
        {"filter": {"field": "method", "equal": method}},
        vertical("value", {"domain": [0, 1]}, AXIS, values=[0, 0.5, 1], format=".1f"),
    )
    words = tip(
        method="activation of",
        site="site",
        attribute="attribute",
        value__in__words="value",
        targets="targets",
        pairs="answers",
        at="level",
    )
    ends = {"x": x, "y": y | {"field": "low"}, "y2": {"field": "high"}}
    return [
        layer("rule", style, ends, here, defined("low"), xOffset=shift, strokeWidth=1.2),
        layer("line", f"{style} line", {"x": x, "y": y}, here, xOffset=shift, invalid="break-paths-show-domains"),
        layer(
            "point",
            f"{style} mark",
            {"x": x, "y": y, "tooltip": words},
            here,
            defined("value"),
            xOffset=shift,
            shape=shape,
            size=34,
        ),
    ]
