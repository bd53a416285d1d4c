"""Calibration gaps: FCR of the generator minus that of the reference, a map of sites and levels for each feature."""

from __future__ import annotations

from collections.abc import Sequence

from inversescope.charts.curves import tiles
from inversescope.charts.parts import Spec, frame, interval, layer, level_words, tip, words
from inversescope.verdicts import MEANINGS
from inversescope.verdicts.scores import FAILING

WIDEST = 0.5  # gap with the strongest colour
_ROW = 19  # pixels
_TILE = 250  # pixels of the narrowest map, its names included
_NAMES = 92  # pixels for the names of the sites
_TIP = tip(
    site="site",
    feature="feature",
    at="at",
    why="undefined",
    gap__in__words="gap",
    fcr__in__words="FCR, generator",
    reference__in__words="FCR, reference",
    ess__in__words="effective sample size of the reference",
    verdict__in__words="calibration",
    targets="targets",
)


def gaps(sites: Sequence[str], features: Sequence[str], numbers: Sequence[float], by_resolution: bool) -> Spec:
    """The chart; its rows are those of `rows.of_gaps`."""
    name = "resolution" if by_resolution else "h"
    table = {"site": "site", "feature": "feature", "level": name, "gap": "gap", "verdict": "calibration"}
    where = {"site": list(sites), "feature": list(features)}
    chart = frame("gaps", f"Calibration gap of each feature, by site and {name}", where, {}, table)
    label = "'1/' + datum.label" if by_resolution else "datum.label"
    axis = {"orient": "top", "labelAngle": 0, "labelExpr": label, "grid": False, "labelPadding": 3}
    x = _places("level", list(numbers), axis)
    y = _places(
        "site", list(sites), {"grid": False, "minExtent": _NAMES, "maxExtent": _NAMES, "labelLimit": _NAMES - 8}
    )
    scale = {"range": "diverging", "domain": [-WIDEST, 0, WIDEST], "clamp": True, "interpolate": "lab"}
    legend = {
        "orient": "bottom",
        "title": None,
        "gradientLength": 128,
        "gradientThickness": 10,
        "values": [-0.5, 0, 0.5],
    }
    colour = {"field": "gap", "type": "quantitative", "scale": scale, "legend": legend}
    place, known = {"x": x, "y": y}, {"filter": "datum.gap != null"}
    shown = {"field": "short", "type": "nominal"}
    failing = {"condition": {"test": " || ".join(f"datum.verdict === '{word}'" for word in FAILING), "value": 1.6}}
    cell = place | {"color": colour, "strokeWidth": {**failing, "value": 0}, "tooltip": _TIP}
    in_words = [interval(each) for each in ("gap", "fcr", "reference")]
    ess = {"calculate": "datum.ess == null ? null : format(datum.ess, '.1f')", "as": "ess in words"}
    short = {"calculate": "datum.gap == null ? '–' : replace(format(datum.gap, '.2f'), '0.', '.')", "as": "short"}
    inner = {
        "transform": [*in_words, ess, short, level_words(), words("verdict", MEANINGS, "verdict in words")],
        "layer": [
            layer("rect", ["cell", "framed"], cell, known),
            layer("rect", "cell", place | {"tooltip": _TIP}, {"filter": "datum.gap == null"}, fillOpacity=0),
            layer("text", "value", place | {"text": shown}),
        ],
    }
    made = tiles(chart, {"field": "feature", "sort": list(features)}, inner, _ROW * len(sites))
    made["usermeta"] |= {"axis": _NAMES, "tile": _TILE}
    return made | {"resolve": {"axis": {"x": "independent", "y": "independent"}}}


def _places(field: str, values: list[object], axis: Spec) -> Spec:
    """Every value has its place, whether anything was measured there or not."""
    scale = {"domain": values, "padding": 0.03}
    return {"field": field, "type": "ordinal", "title": None, "sort": values, "scale": scale, "axis": axis}
