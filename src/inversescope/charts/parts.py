"""Parts of which the specifications are made: frames, marks, tips, words of numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from inversescope.charts.theme import METHOD_DASHES, METHODS
from inversescope.verdicts import MEANINGS, NULL_PASSES, SOURCE_ALONE

Spec = dict[str, Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
MEASURES = {"corrected": "corrected score", "fcr": "FCR", "bits": "bits"}
LINE = "M-2.2,0L2.2,0"  # of a legend: long enough for the dashes of a line to be seen
LEFT = 44  # pixels for the labels of a vertical axis, so that charts above each other share their horizontal axis
_LEVEL = (
    "datum.resolution == null ? 'h = ' + format(datum.bandwidth, '.3~g')"
    " : '1 in ' + format(datum.resolution, '.4~g') + ' (h = ' + format(datum.bandwidth, '.3~g') + ')'"
)


def frame(
    rows: str,
    description: str,
    where: Mapping[str, Sequence[Any]] | None = None,
    by: Mapping[str, str] | None = None,
    values: Mapping[str, str] | None = None,
    **more: Any,
) -> Spec:
    """The outer part of a chart: where its rows come from (`rows.select`), and the columns of its table of values."""
    usermeta = {"rows": rows, "where": dict(where or {}), "by": dict(by or {}), "values": dict(values or {}), **more}
    return {"$schema": SCHEMA, "description": description, "usermeta": usermeta, "data": {"values": []}}


def size(height: int) -> Spec:
    return {"width": "container", "height": height, "autosize": {"type": "fit", "contains": "padding"}}


def quantitative(field: str, **more: Any) -> Spec:
    return {"field": field, "type": "quantitative", "title": None, **more}


def vertical(field: str, scale: Spec | None = None, extent: int = LEFT, **axis: Any) -> Spec:
    """A vertical axis of numbers with a fixed place for its labels."""
    look = {"minExtent": extent, "maxExtent": extent, "tickCount": 5, "format": ".2~f", **axis}
    return quantitative(field, axis=look, scale=scale or {})


def over_layers(layers: int) -> Spec:
    """The horizontal axis of layers, whole numbers from 0."""
    axis = {"grid": False, "tickMinStep": 1, "format": "d", "tickCount": min(layers, 15), "labelFlush": False}
    axis |= {"labelSeparation": 6}
    return quantitative("layer", axis=axis, scale={"domain": [-0.5, layers - 0.5], "nice": False, "zero": False})


def level_words(name: str = "at") -> Spec:
    """Transform: resolution and bandwidth in words."""
    return {"calculate": f"datum.bandwidth == null ? null : {_LEVEL}", "as": name}


def interval(name: str, digits: int = 2) -> Spec:
    """Transform: an estimate and its interval in words; null where it is undefined."""
    number = lambda end: f"format(datum.{name}{end}, '.{digits}f')"  # noqa: E731
    limits = f"(datum.{name}_low == null ? '' : ' [' + {number('_low')} + ', ' + {number('_high')} + ']')"
    return {"calculate": f"datum.{name} == null ? null : {number('')} + {limits}", "as": f"{name} in words"}


def words(name: str, meanings: Mapping[str, str], out: str) -> Spec:
    """Transform: the words that stand for the value of a column."""
    return {"calculate": f"({json.dumps(dict(meanings), ensure_ascii=False)})[datum.{name}] || null", "as": out}


def tip(**columns: str) -> list[Spec]:
    """Lines of a tip: the title of each line, by its column. Spaces in a column's name are written as underscores."""
    return [
        {"field": column.replace("__", " "), "type": "nominal", "title": title} for column, title in columns.items()
    ]


def by_value(field: str, values: Sequence[str], looks: Sequence[object] | None = None, **legend: Any) -> Spec:
    """A look for each value of a column, the same in every chart: its place among `values` decides."""
    chosen = {} if looks is None else {"range": [looks[i % len(looks)] for i in range(len(values))]}
    return {"field": field, "type": "nominal", "scale": {"domain": list(values), **chosen}, "legend": legend or None}


SCORE_WORDS = [
    level_words(),
    *(interval(name) for name in (*MEASURES, "gap", "others")),
    {"calculate": "datum.chance == null ? null : format(datum.chance, '.2f')", "as": "chance in words"},
    {"calculate": "datum.q_value == null ? null : format(datum.q_value, '.3f')", "as": "q in words"},
    {"calculate": "datum.ess == null ? null : format(datum.ess, '.1f')", "as": "ess in words"},
    words("verdict", MEANINGS, "verdict in words"),
    {
        "calculate": f"datum.null_passes ? {json.dumps(NULL_PASSES)} : "
        f"datum.source_alone ? {json.dumps(SOURCE_ALONE)} : null",
        "as": "not claimed",
    },
]
SCORE_TIP = tip(
    site="site",
    feature="feature",
    method="method",
    at="at",
    reason="undefined",
    corrected__in__words="corrected score",
    fcr__in__words="FCR",
    bits__in__words="bits",
    chance__in__words="chance",
    q__in__words="q",
    gap__in__words="calibration gap",
    verdict__in__words="calibration",
    use="encoded and used?",
    others__in__words="among other inputs",
    not__claimed="nothing is claimed",
    targets="targets",
    samples="samples",
    ess__in__words="effective sample size",
)
# Rows at whose site a hash of the input is above chance too, and so every feature; or the source alone carries the
# score of the row's feature, and says nothing of other features there.
OF_NO_FEATURE = "datum.null_passes"
NOTHING_CLAIMED = f"{OF_NO_FEATURE} || datum.source_alone"


def defined(name: str) -> Spec:
    return {"filter": f"datum.{name} != null"}


def of_method(*methods: str) -> Spec:
    return {"filter": {"field": "method", "oneOf": list(methods)}}


def layer(mark: str, style: str | list[str], encoding: Spec, *transform: Spec, **look: Any) -> Spec:
    """One layer of a chart. Without a tip it is a picture only, which no reader's aid reads out."""
    quiet = {} if "tooltip" in encoding else {"aria": False}
    made: Spec = {"mark": {"type": mark, "style": style, **quiet, **look}, "encoding": encoding}
    return {**made, "transform": list(transform)} if transform else made


def note(text: str, x: Any, y: Any, *transform: Spec, **look: Any) -> Spec:
    """Words in a chart."""
    place = {"x": x, "y": y, "text": {"value": text}}
    return layer("text", "note", place, *transform, **look)


def level_line(
    value: str, style: str = "chance", channel: str = "y", *transform: Spec, title: str | None = None
) -> Spec:
    """One line across a chart, at the mean of an expression."""
    mean = {"aggregate": [{"op": "mean", "field": "line", "as": "line"}]}
    place = {channel: quantitative("line") | {"title": title}}
    return layer("rule", style, place, *transform, {"calculate": value, "as": "line"}, mean)


def legend(
    methods: Sequence[str],
    marks: Mapping[str, str],
    names: Mapping[str, str] | None = None,
    dashes: Mapping[str, Sequence[float]] = METHOD_DASHES,
) -> Spec:
    """The key of the methods, inside the chart, so that a saved picture has it too: marks by shape, else lines; `names`
    are the words for what is drawn in the look of a method.
    """
    names = {method: method for method in METHODS} | dict(names or {})
    words = {
        "values": [names[method] for method in methods],
        "orient": "bottom",
        "title": None,
        "columns": 3,
        "symbolOpacity": 1,
        "symbolSize": 110,
        "columnPadding": 18,
        "labelLimit": 220,
        "labelOffset": 12,
        "offset": 6,
    }

    def by(looks: object) -> Spec:
        domain = [names[method] for method in METHODS]
        return {"field": "of", "type": "nominal", "scale": {"domain": domain, "range": looks}, "legend": words}

    shape = by([marks.get(method, LINE) for method in METHODS])
    dash = by([dashes.get(method, [1, 0]) for method in METHODS])
    looks = {"fill": by("ordinal"), "stroke": by("ordinal"), "shape": shape, "strokeDash": dash}
    data = {"data": {"values": [{"of": names[method]} for method in methods]}}
    return data | layer("point", "key", looks, opacity=0, size=1)


def undefined_note(measure: str) -> Spec:
    """Words in the place of the curves where no value is defined: the reason, where the records have one."""
    reason = "datum.reason == null ? 'no score at this level' : datum.reason"
    return layer(
        "text",
        "note",
        {"x": {"value": "width"}, "y": {"value": 60}, "text": {"field": "why"}},
        {"joinaggregate": [{"op": "valid", "field": measure, "as": "known"}]},
        {"filter": "datum.known == 0"},
        {"calculate": f"'– undefined: ' + ({reason})", "as": "why"},
        {"aggregate": [{"op": "min", "field": "why", "as": "why"}]},
        align="right",
        dx=-8,
    )
