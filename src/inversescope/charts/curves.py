"""Small charts beside each other: consistency over resolutions at every site, and by distance for every feature."""

from __future__ import annotations

from collections.abc import Sequence

from inversescope.charts.parts import (
    NOTHING_CLAIMED,
    SCORE_TIP,
    SCORE_WORDS,
    Spec,
    defined,
    frame,
    interval,
    layer,
    legend,
    level_words,
    of_method,
    quantitative,
    tip,
    vertical,
)

TILE = 172  # pixels of the narrowest small chart, its axis included
AXIS = 30
HEIGHT = 106
SHAPES = {"reference": ("circle", 0.0), "generator": ("circle", -3.0), "weighted": ("diamond", 3.0)}
_KEYS = {"generator": "draws", "reference": "median of the reference", "nearest": "prior"}
_HALVES = {"values": [0, 0.5, 1], "format": ".1f"}


def tiles(chart: Spec, by: Spec, inner: Spec, height: int = HEIGHT) -> Spec:
    """A chart for each value of a column, beside and below each other; a page fits columns and widths to its own."""
    chart["usermeta"] |= {"tile": TILE, "axis": AXIS}
    facet = {"field": by["field"], "type": "nominal", "title": None, "sort": by["sort"], "header": {"title": None}}
    each = {"width": 150, "height": height, **inner}
    return chart | {
        "facet": facet,
        "columns": 4,
        "spacing": {"row": 18, "column": 14},
        "spec": each,
        "resolve": {"axis": {"x": "independent", "y": "independent"}},
    }


def levels(sites: Sequence[str], numbers: Sequence[float], by_resolution: bool) -> Spec:
    """FCR over the levels of a run, the finest first; its rows are those of scores (`rows.of_scores`)."""
    name = "resolution" if by_resolution else "h"
    table = {
        "site": "site",
        "level": name,
        "method": "method",
        "fcr": "FCR",
        "chance": "chance",
        "ess": "effective sample size",
    }
    chart = frame(
        "scores",
        f"FCR of one feature against {name}, for each site",
        {"site": list(sites), "method": list(SHAPES)},
        {"feature": "feature"},
        table,
    )
    chart["title"] = "FCR at each site"
    label = "'1/' + datum.label" if by_resolution else "datum.label"
    x = {"field": "level", "type": "ordinal", "title": None, "sort": list(numbers), "scale": {"domain": list(numbers)}}
    x["axis"] = {"labelAngle": 0, "labelExpr": label, "grid": False, "labelOverlap": "greedy"}
    y = vertical("fcr", {"domain": [0, 1]}, AXIS, **_HALVES)
    trusted = {"joinaggregate": [{"op": "max", "field": "sure", "as": "sure here"}], "groupby": ["site", "level"]}
    sure = {"calculate": "datum.method === 'reference' && datum.trusted ? 1 : 0", "as": "sure"}
    once = {"aggregate": [{"op": "count", "as": "rows"}], "groupby": ["site", "level"]}
    chance = {"aggregate": [{"op": "mean", "field": "chance", "as": "chance"}], "groupby": ["site"]}
    inner = {
        "transform": [sure, trusted, *SCORE_WORDS],
        "layer": [
            layer(
                "bar",
                "nothing claimed",
                {"x": x, "y": {"value": 0}, "y2": {"value": HEIGHT}},
                {"filter": NOTHING_CLAIMED},
                once,
                width={"band": 0.8},
            ),
            layer("rule", "chance", {"y": quantitative("chance")}, defined("fcr"), chance),
            *(part for method in SHAPES for part in _of_method(method, x, y)),
            layer(
                "text",
                "note",
                {"x": {"value": "width"}, "y": {"value": 40}, "text": {"value": "– undefined"}},
                {"joinaggregate": [{"op": "valid", "field": "fcr", "as": "known"}], "groupby": ["site"]},
                {"filter": "datum.known == 0"},
                once,
                align="right",
            ),
            legend(list(SHAPES), {method: shape for method, (shape, _) in SHAPES.items() if method != "reference"}),
        ],
    }
    return tiles(chart, {"field": "site", "sort": list(sites)}, inner)


def _of_method(method: str, x: Spec, y: Spec) -> list[Spec]:
    shape, shift = SHAPES[method]
    ends = {"x": x, "y": y | {"field": "fcr_low"}, "y2": {"field": "fcr_high"}}
    full = {"condition": {"test": "datum['sure here'] === 1", "value": 1}, "value": 0}
    here, known = of_method(method), [of_method(method), defined("fcr")]
    look = {"shape": shape, "size": 32, "xOffset": shift}
    spread = (
        layer("area", f"{method} band", ends, here, defined("fcr_low"))
        if method == "reference"
        else layer("rule", method, ends, *known, defined("fcr_low"), xOffset=shift, strokeWidth=1.3)
    )
    return [
        spread,
        layer("line", f"{method} line", {"x": x, "y": y}, here, invalid="break-paths-show-domains", xOffset=shift),
        layer("point", "paper", {"x": x, "y": y}, *known, **look),
        layer("point", f"{method} mark", {"x": x, "y": y, "fillOpacity": full, "tooltip": SCORE_TIP}, *known, **look),
    ]


def by_distance(features: Sequence[str]) -> Spec:
    """Consistency by the distance of the pool's inputs; its rows are those of `score/by_distance.parquet`."""
    table = {
        "feature": "feature",
        "low": "δ from",
        "high": "to",
        "fcr": "consistency",
        "chance": "chance",
        "targets": "targets",
    }
    chart = frame(
        "byDistance",
        "Consistency of each feature against distance at one site",
        {"feature": list(features)},
        {"site": "site"},
        table,
    )
    chart["title"] = "consistency by distance δ"
    axis = {"values": [0, 0.5, 1, 1.5, 2], "grid": False, "format": ".2~f", "labelFlush": False}
    x = quantitative("middle", axis=axis, scale={"domainMin": 0, "nice": False})
    y = vertical("fcr", {"domain": [0, 1]}, AXIS, **_HALVES)
    band = {"x": x, "y": y | {"field": "fcr_low"}, "y2": {"field": "fcr_high"}}
    middle = "datum.high == null ? datum.low : (datum.low + datum.high) / 2"  # the last bin is open
    bounds = "'from ' + format(datum.low, '.2f') + (datum.high == null ? ' on' : ' to ' + format(datum.high, '.2f'))"
    rounded = {"calculate": "format(datum.chance, '.2f')", "as": "chance in words"}
    words = tip(
        feature="feature",
        bounds="δ",
        fcr__in__words="consistency",
        chance__in__words="chance",
        targets="targets",
        pairs="pairs",
    )
    inner = {
        "transform": [
            defined("fcr"),
            {"calculate": middle, "as": "middle"},
            {"calculate": bounds, "as": "bounds"},
            interval("fcr"),
            rounded,
        ],
        "layer": [
            layer("area", "reference band", band, defined("fcr_low")),
            layer("line", "chance", {"x": x, "y": y | {"field": "chance"}}),
            layer("line", "reference line", {"x": x, "y": y}),
            layer("point", "reference mark", {"x": x, "y": y, "tooltip": words}, opacity=0, size=120),
        ],
    }
    return tiles(chart, {"field": "feature", "sort": list(features)}, inner)


def distances(numbers: Sequence[float], by_resolution: bool) -> Spec:
    """Distances of the draws at each level, beside those of the prior; its rows are those of `rows.of_distances`."""
    name = "resolution" if by_resolution else "h"
    table = {"level": name, "low": "δ from", "high": "to", "draws": "draws", "prior": "prior"}
    chart = frame("distances", "Distances of the draws at one site, for each level", {}, {"site": "site"}, table)
    chart["title"] = "distance δ of the draws"
    prefix = "'1 in ' + datum.value" if by_resolution else "'h = ' + datum.value"
    density = [
        {"calculate": f"datum.{of} / (datum.high - datum.low)", "as": f"{of} density"} for of in ("draws", "prior")
    ]
    x = quantitative(
        "low", axis={"grid": False, "tickCount": 5, "labelFlush": False}, scale={"nice": False, "zero": True}
    )
    y = {"type": "quantitative", "title": None, "axis": None}
    ends = {"x": x, "x2": {"field": "high"}, "y": {**y, "field": "draws density"}}
    bounds = {"calculate": "format(datum.low, '.2f') + ' to ' + format(datum.high, '.2f')", "as": "bounds"}
    shares = [
        {"calculate": f"datum.{of} == null ? null : format(datum.{of}, '.3f')", "as": f"{of} in words"}
        for of in ("draws", "prior")
    ]
    words = tip(at="level", bounds="δ", draws__in__words="draws, share", prior__in__words="prior, share")
    none = [
        {"joinaggregate": [{"op": "valid", "field": "draws", "as": "known"}], "groupby": ["level"]},
        {"filter": "datum.known == 0"},
        {"aggregate": [{"op": "count", "as": "rows"}], "groupby": ["level"]},
    ]
    inner = {
        "transform": [*density, bounds, *shares, level_words()],
        "layer": [
            layer(
                "rect",
                "generator bin",
                ends | {"y2": {"datum": 0}, "tooltip": words},
                {"filter": "datum.draws > 0"},
                opacity=0.75,
            ),
            layer("line", "outline", {"x": x, "y": {**y, "field": "prior density"}}, interpolate="step-after"),
            *(
                layer(
                    "rule",
                    style,
                    {"x": quantitative(style)},
                    {"aggregate": [{"op": "max", "field": style, "as": style}], "groupby": ["level"]},
                    defined(style),
                )
                for style in ("median", "limit")
            ),
            layer(
                "text",
                "note",
                {"x": {"value": "width"}, "y": {"value": 50}, "text": {"value": "– none verified"}},
                *none,
                align="right",
            ),
            legend(list(_KEYS), {"generator": "square"}, _KEYS, {"reference": [5, 3]}),
        ],
    }
    made = tiles(chart, {"field": "level", "sort": list(numbers)}, inner)
    made["usermeta"] |= {"axis": 6}
    made["facet"]["header"]["labelExpr"] = prefix
    return made
