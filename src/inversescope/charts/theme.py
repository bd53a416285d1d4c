"""Colours, dashes and shapes of charts, light and dark, as Vega-Lite configs; the pages' styles have the same ones."""

from __future__ import annotations

from typing import Any, Literal

Theme = Literal["light", "dark"]

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif'
# Of every role: its colour on a light and on a dark page.
COLOURS = {
    "paper": ("#ffffff", "#16171a"),
    "ink": ("#1b1b1a", "#e7e5df"),
    "soft": ("#5d5c57", "#a3a19a"),
    "rule": ("#dbd9d2", "#34363b"),
    "reference": ("#2b4c7e", "#9cbdea"),
    "generator": ("#bb4d0c", "#f09a5b"),
    "weighted": ("#0b7a70", "#57c7b6"),
    "nearest": ("#6f6d66", "#a19f97"),
    "shuffled": ("#8f3a9c", "#d39adf"),
    "no condition": ("#3d2f00", "#ffe27a"),
}
# Colours of curves, apart for colour-blind readers too (a search over hue, chroma and lightness).
HUES = (
    ("#060da4", "#5aa9f2"),
    ("#6a2001", "#ef9a4a"),
    ("#046555", "#b9f8ca"),
    ("#42143e", "#c35b9e"),
    ("#7631cc", "#9e59fc"),
    ("#a06901", "#fdde42"),
    ("#3389c4", "#74daf3"),
    ("#7c7c7c", "#a9a9a9"),
)
# The same curves by their dashes, and by the shape of their marks.
DASHES = ([1, 0], [7, 2.5], [2, 2], [10, 2.5, 2, 2.5], [4, 1.5], [1, 3], [12, 4], [6, 2, 1, 2, 1, 2])
SHAPES = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "triangle-right", "triangle-left")
# Steps of a share from 0 to 1, even in lightness.
SCALE = (
    ("#f3f2e9", "#9acfb2", "#3e9fa9", "#246099", "#282761"),
    ("#21232e", "#384883", "#0089a7", "#4bc39f", "#e6e988"),
)
# A difference from -1 to 1: below, none, above.
DIFFERENCE = (("#e99355", "#f7f7f4", "#79b1e0"), ("#9e511e", "#212224", "#32669a"))
METHODS = ("reference", "generator", "weighted", "nearest", "shuffled", "no condition")
METHOD_DASHES = {"nearest": [5, 3], "shuffled": [1.5, 3], "no condition": [9, 3, 1.5, 3]}
METHOD_WIDTHS = {"reference": 2.0, "shuffled": 1.8, "no condition": 1.6}


def config(theme: Theme = "light") -> dict[str, Any]:
    """The Vega-Lite config of a theme."""
    side = ("light", "dark").index(theme)
    colour = {role: pair[side] for role, pair in COLOURS.items()}
    text = {"font": FONT, "color": colour["soft"], "fontSize": 11.5, "fontWeight": "normal"}
    label = {"labelFont": FONT, "labelColor": colour["soft"], "labelFontSize": 10.5}
    named = {"titleFont": FONT, "titleColor": colour["soft"], "titleFontSize": 11, "titleFontWeight": "normal"}
    axis = {"domain": False, "ticks": False, "gridColor": colour["rule"], "gridWidth": 0.6, "labelPadding": 6}
    return {
        "background": colour["paper"],
        "font": FONT,
        "padding": {"left": 0, "top": 2, "right": 6, "bottom": 2},
        "view": {"stroke": None},
        "axis": axis | label | named,
        "legend": label | named | {"symbolStrokeWidth": 1.5, "gradientStrokeColor": None},
        "title": text | {"anchor": "start", "offset": 8},
        "header": label
        | named
        | {"labelColor": colour["ink"], "labelFontWeight": 600, "labelFontSize": 11.5}
        | {"labelAnchor": "start", "labelPadding": 6},
        "range": {
            "category": [hue[side] for hue in HUES],
            "heatmap": list(SCALE[side]),
            "ramp": list(SCALE[side]),
            "diverging": list(DIFFERENCE[side]),
            "ordinal": [colour[method] for method in METHODS],
        },
        "point": {"filled": True, "strokeWidth": 1.4, "opacity": 1},
        "style": {**_methods(colour), **_roles(colour)},
    }


def _methods(colour: dict[str, str]) -> dict[str, Any]:
    """Looks of the methods: lines by colour and dashes, bands and marks by colour alone."""
    looks: dict[str, Any] = {}
    for method in METHODS:
        shade = {"color": colour[method]}
        looks[method] = shade
        line = {"strokeWidth": METHOD_WIDTHS.get(method, 1.3), "strokeJoin": "round"}
        dash = {"strokeDash": METHOD_DASHES[method]} if method in METHOD_DASHES else {}
        looks[f"{method} line"] = shade | line | dash | ({"strokeCap": "round"} if method == "shuffled" else {})
        looks[f"{method} band"] = shade | {"opacity": 0.15}
        looks[f"{method} bin"] = shade | {"fill": colour[method], "stroke": colour["paper"], "strokeWidth": 0.7}
        looks[f"{method} mark"] = shade | {"fill": colour[method], "stroke": colour[method]}
    return looks


def _roles(colour: dict[str, str]) -> dict[str, Any]:
    soft = {"color": colour["soft"]}
    return {
        "paper": {"fill": colour["paper"], "stroke": colour["paper"], "color": colour["paper"]},
        "chance": soft | {"strokeWidth": 0.8},
        "limit": soft | {"strokeWidth": 1, "strokeDash": [1.5, 3], "strokeCap": "round"},
        "median": {"color": colour["reference"], "strokeWidth": 1.3, "strokeDash": [5, 3]},
        "outline": soft | {"strokeWidth": 1.2},
        "note": soft | {"fontSize": 11, "font": FONT},
        "name": {"fontSize": 11, "font": FONT, "fontWeight": 600},
        "ink": {"color": colour["ink"]},
        "value": {"color": colour["ink"], "fontSize": 10, "font": FONT},
        "framed": {"stroke": colour["ink"]},
        "nothing claimed": soft | {"opacity": 0.13},
        "undefined": soft | {"stroke": colour["soft"], "strokeWidth": 1.2},
    }
