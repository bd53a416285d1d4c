"""All features over the layers, with the sites at which they are used."""

from __future__ import annotations

from collections.abc import Sequence

from inversescope.charts.layers import axis, claims
from inversescope.charts.parts import (
    MEASURES,
    OF_NO_FEATURE,
    SCORE_TIP,
    SCORE_WORDS,
    Spec,
    by_value,
    defined,
    frame,
    layer,
    level_line,
    of_method,
    over_layers,
    quantitative,
    size,
)
from inversescope.charts.theme import DASHES, SHAPES
from inversescope.verdicts.used import BOTH

HEIGHT = 300
NAMES = 118  # pixels for the names at the ends of the curves
_STEP = 14  # pixels between two names
_PLOT = HEIGHT - 52  # pixels of the vertical axis, about


def overview(depth: int, features: Sequence[str], method: str = "reference", measure: str = "corrected") -> Spec:
    """The chart of a model with so many layers; its rows are those of scores (`rows.of_scores`)."""
    here = of_method(method)
    x, of = over_layers(depth), {"level": "level", "point": "point"}
    table = {
        "site": "site",
        "feature": "feature",
        "method": "method",
        measure: MEASURES[measure],
        "chance": "chance",
        "use": "encoded and used?",
    }
    where = {"head": [None], "method": ["reference", "weighted", "generator"], "feature": list(features)}
    chart = frame("scores", f"{MEASURES[measure]} of every feature over layers", where, of, table)
    curve = {"x": x, "y": axis(measure), "color": by_value("feature", features)}
    marked = {"x": x, "y": axis(measure), "fill": curve["color"], "stroke": curve["color"]}
    tested = [here, defined(measure), defined("use")]
    shape = by_value("feature", features, SHAPES)
    band = {"y": axis(measure, f"{measure}_low"), "y2": {"field": f"{measure}_high"}}
    made = (
        chart
        | size(HEIGHT)
        | {
            "title": f"{MEASURES[measure]}, {method}, over layers",
            "transform": SCORE_WORDS,
            "layer": [
                claims(x, OF_NO_FEATURE),
                level_line("0", "chance", "y", of_method(method)) if measure != "fcr" else None,
                layer("area", "band", curve | band, here, defined(f"{measure}_low"), opacity=0.13),
                layer(
                    "line",
                    "curve",
                    curve | {"strokeDash": by_value("feature", features, DASHES)},
                    here,
                    invalid="break-paths-show-domains",
                    strokeWidth=1.5,
                ),
                layer("point", "mark", curve | {"tooltip": SCORE_TIP}, here, defined(measure), opacity=0, size=180),
                *_tested(marked | {"shape": shape}, [*tested, {"filter": f"datum.use !== '{BOTH}'"}], 0),
                *_tested(marked | {"shape": shape}, [*tested, {"filter": f"datum.use === '{BOTH}'"}], 1),
                *_names(here, features, measure),
                _nothing(here, measure),
            ],
        }
    )
    return made | {"layer": [part for part in made["layer"] if part is not None]}


def _nothing(here: Spec, measure: str) -> Spec:
    """Words in place of curves where there is none."""
    best = {"aggregate": [{"op": "max", "field": measure, "as": "best"}]}
    place = {"x": {"value": 12}, "y": {"value": HEIGHT // 2}}
    words = {"text": {"value": "no score of the reference is defined here"}}
    return layer("text", "note", place | words, here, best, {"filter": "!isValid(datum.best)"}, align="left")


def _tested(marked: Spec, here: list[Spec], full: int) -> list[Spec]:
    """Marks at the sites of the causal test: hollow, or full."""
    under = {name: marked[name] for name in ("x", "y", "shape")}
    mark = layer("point", "mark", marked | {"tooltip": SCORE_TIP}, *here, size=44, fillOpacity=full)
    return [layer("point", "paper", under, *here, size=44), mark]


def _names(here: Spec, features: Sequence[str], measure: str) -> list[Spec]:
    """Names beside the ends of their curves, in their order, none on top of another: each is pushed down by those
    above it, and all are lifted where the last would stand below the axis.
    """
    high = f"{measure}_high"
    span = {
        "joinaggregate": [
            {"op": "max", "field": "top", "as": "highest"},
            {"op": "min", "field": "bottom", "as": "lowest"},
        ]
    }
    ends = [
        {"calculate": f"datum.{high} == null ? datum.{measure} : datum.{high}", "as": "top"},
        {"calculate": f"min(0, datum.{measure}_low == null ? datum.{measure} : datum.{measure}_low)", "as": "bottom"},
    ]
    last = {"joinaggregate": [{"op": "max", "field": "layer", "as": "last"}], "groupby": ["feature"]}
    ordered = {"sort": [{"field": measure, "order": "descending"}, {"field": "feature"}]}
    top = "highest" if measure == "bits" else "1"
    step = {
        "calculate": f"(max({'datum.highest' if top == 'highest' else top}, 0.01) - datum.lowest) * {_STEP / _PLOT}",
        "as": "step",
    }
    place = [
        here,
        defined(measure),
        *ends,
        span,
        last,
        {"filter": "datum.layer === datum.last"},
        step,
        {"window": [{"op": "row_number", "as": "number"}], **ordered},
        {"calculate": f"datum.{measure} + datum.number * datum.step", "as": "free"},
        {"window": [{"op": "min", "field": "free", "as": "lowered"}], "frame": [None, 0], **ordered},
        {"calculate": "datum.lowered - datum.number * datum.step", "as": "place"},
        {"joinaggregate": [{"op": "min", "field": "place", "as": "deepest"}]},
        {"calculate": "datum.place + max(0, datum.lowest - datum.deepest)", "as": "place"},
    ]
    colour, y = {"color": by_value("feature", features)}, quantitative("place")
    lead = colour | {
        "x": quantitative("last"),
        "y": quantitative(measure),
        "x2": {"value": "width"},
        "y2": {"field": "place"},
    }
    name = colour | {"x": {"value": "width"}, "y": y, "text": {"field": "feature"}}
    return [
        layer("rule", "lead", lead, *place, strokeWidth=0.6, opacity=0.6, xOffset=6, x2Offset=4),
        layer("text", "name", name, *place, align="left", dx=8, limit=NAMES - 8),
    ]
