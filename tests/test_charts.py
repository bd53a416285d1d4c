"""Charts as specifications: valid Vega-Lite, the rows of the records inside, saved and shown."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import json
import sys
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from refusals import refuses
from report_fixture import Shape, read_scores, write_run

from inversescope.charts import elements, rows, vendored
from inversescope.charts.answer import distances_of_draws, over_sites
from inversescope.charts.arena import by_feature, identified
from inversescope.charts.calibration import gaps
from inversescope.charts.chart import MIME, Chart
from inversescope.charts.curves import by_distance, distances, levels
from inversescope.charts.disentangle import disentangle
from inversescope.charts.heads import heads
from inversescope.charts.layers import layers
from inversescope.charts.overview import overview
from inversescope.charts.page import script
from inversescope.charts.parts import MEASURES
from inversescope.charts.text import natural_text
from inversescope.charts.theme import COLOURS, config
from inversescope.charts.used import used
from inversescope.charts.widget import shown, widget
from inversescope.run.plots import Plots

SHAPE = Shape(layers=6, heads=2, generator_layers=(1, 3, 5), targets=8, samples=5)
FEATURE = SHAPE.features[0]
SPECS = {
    **{f"overview {measure}": overview(6, SHAPE.features, "reference", measure) for measure in MEASURES},
    **{f"layers {measure}": layers(6, measure) for measure in MEASURES},
    **{f"heads {measure}": heads(6, 2, measure) for measure in MEASURES},
    "levels": levels(["resid_post.1"], [512.0, 8.0], True),
    "bandwidths": levels(["resid_post.1"], [0.1, 0.3], False),
    "by distance": by_distance(SHAPE.features),
    "distances": distances([512.0, 8.0], True),
    "identified": identified(["ours", "linear probe"]),
    "identified by feature": by_feature(["ours", "linear probe"], SHAPE.features),
    "gaps": gaps(["resid_post.1"], SHAPE.features, [512.0, 8.0], True),
    "used": used(),
    "disentangle": disentangle(["a", "b"], ["samples", "pool", "nothing"]),
    "natural text": natural_text(["resid_post.1", "resid_post.8"], ["nearest", "stored ×1"]),
    "draws": distances_of_draws("title"),
    "over sites": over_sites(["a", "b"], ["one", "other"], "title"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"), SHAPE)


@pytest.fixture(scope="module")
def schema() -> Any:
    packed = Path(__file__).parent / "data" / "vega-lite-6.5.0.json.gz"
    return jsonschema.Draft7Validator(json.loads(gzip.decompress(packed.read_bytes())))


@pytest.mark.parametrize("name", SPECS)
def test_a_specification_is_valid(schema: Any, name: str):
    schema.validate({**SPECS[name], "config": config("dark")})
    json.dumps(SPECS[name], allow_nan=False)


def test_a_wrong_specification_is_found(schema: Any):
    wrong = {**SPECS["draws"], "layer": [{"mark": "no such mark", "encoding": {}}]}
    assert not schema.is_valid(wrong)


def test_a_chart_holds_the_rows_of_its_choice_and_no_others(run: Path):
    level, point = 0.3, "resid_post"
    made = Plots(run).layers(FEATURE, level=level, point=point)
    wanted = {
        (row["method"], row["site"]): row["corrected"]
        for row in read_scores(run)
        if row["feature"] == FEATURE and row["head"] is None and row["point"] == point
        and row["bandwidth"] in (level, None)
    }  # fmt: skip
    assert {(row["method"], row["site"]): row["corrected"] for row in made.values} == wanted
    assert {"reference", "nearest", "weighted"} <= {method for method, _ in wanted}
    assert FEATURE in made.spec["title"] and f"{level}" in made.spec["title"]
    other = Plots(run).layers(SHAPE.features[1], level=level)
    assert other.values != made.values


def test_a_map_holds_every_head_of_one_method(run: Path):
    made = Plots(run).heads(FEATURE, level=0.3, measure="bits")
    assert {(row["layer"], row["head"]) for row in made.values} == {(a, b) for a in range(6) for b in range(2)}
    assert {row["method"] for row in made.values} == {"reference"}


def strips(spec: Any) -> list[str]:
    """The conditions under which a layer of the model is marked as one where nothing is claimed."""
    if isinstance(spec, list):
        return [found for part in spec for found in strips(part)]
    if not isinstance(spec, dict):
        return []
    if isinstance(spec.get("mark"), dict) and spec["mark"].get("style") == "nothing claimed":
        return [step["filter"] for step in spec["transform"] if isinstance(step.get("filter"), str)]
    return [found for part in spec.values() for found in strips(part)]


def test_a_layer_is_marked_for_all_features_only_where_it_is_so_for_all():
    (of_all,), (of_one,) = strips(overview(6, SHAPE.features, "reference", "corrected")), strips(layers(6, "corrected"))
    assert "null_passes" in of_all and "source_alone" not in of_all
    assert "null_passes" in of_one and "source_alone" in of_one


def test_the_overview_knows_where_a_feature_is_used(run: Path):
    values = Plots(run).overview(level=0.3).values
    tested = {row["site"] for row in values if row["use"] is not None}
    assert tested == {f"resid_post.{layer}" for layer in SHAPE.generator_layers}
    assert {row["feature"] for row in values} == set(SHAPE.features)


def test_what_a_run_has_not_is_refused_with_what_it_has(run: Path, tmp_path: Path):
    plot = Plots(run)
    with refuses(given="colour", allowed=FEATURE):
        plot.layers("colour")
    with refuses(given="0.7", allowed="0.3"):
        plot.layers(FEATURE, level=0.7)
    with refuses(given="nats", allowed="bits"):
        plot.overview(measure="nats")
    with refuses(given="tower", allowed="resid_post"):
        plot.layers(FEATURE, point="tower")
    without = write_run(tmp_path, Shape(layers=2, heads=0, generator_layers=(1,), targets=2, samples=3))
    with refuses(given=without):
        Plots(without).heads(FEATURE)


def test_bins_stand_beside_those_of_the_prior():
    bins = [{"site": "a", "low": 0.0, "high": 0.5, "resolution": None, "bandwidth": None}]
    prior = {**bins[0], "method": "prior", "share": 0.25}
    drawn = {**bins[0], "method": "generator", "bandwidth": 0.3, "share": 0.75}
    at = {
        "site": "a",
        "resolution": None,
        "bandwidth": 0.3,
        "reference_median_distance": 0.2,
        "acceptance_counts": True,
    }
    (found,) = rows.of_distances([prior, drawn], [at])
    assert (found["prior"], found["draws"], found["median"], found["level"]) == (0.25, 0.75, 0.2, 0.3)
    (without,) = rows.of_distances([prior], [{**at, "acceptance_counts": False}])
    assert (without["draws"], without["limit"]) == (None, None)


def test_charts_are_saved(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made = Plots(run).layers(FEATURE)
    made.save(tmp_path / "chart.json")
    assert json.loads((tmp_path / "chart.json").read_text()) == made.to_dict()
    made.save(tmp_path / "chart.html")
    page = (tmp_path / "chart.html").read_text()
    head = page[: page.index("<style>")]
    assert "default-src 'none'" in head and "unsafe-eval" not in head and "src=" not in head
    with refuses(given="chart.gif", allowed=".svg"):
        made.save(tmp_path / "chart.gif")
    monkeypatch.setitem(sys.modules, "vl_convert", None)  # not to be imported
    with refuses(allowed=".html", remedy=True):
        made.save(tmp_path / "chart.svg")
    assert not (tmp_path / "chart.svg").exists()
    assert {MIME, "text/html", "text/plain"} == set(made._repr_mimebundle_())


def test_beside_the_widget_of_a_notebook_stands_the_text_of_the_chart(run: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("anywidget")
    monkeypatch.setattr("inversescope.charts.widget._in_notebook", lambda: True)
    made = Plots(run).layers(FEATURE)
    bundle = made._repr_mimebundle_()
    assert any("widget" in kind for kind in bundle) and bundle["text/plain"] == repr(made)


def test_a_picture_needs_no_browser(run: Path, tmp_path: Path):
    pytest.importorskip("vl_convert")
    made = Plots(run).layers(FEATURE)
    made.save(tmp_path / "chart.svg")
    svg = (tmp_path / "chart.svg").read_text()
    assert svg.startswith("<svg") and svg.count('aria-roledescription="') > 3
    made.save(tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
    assert made._repr_mimebundle_()["image/svg+xml"].startswith("<svg")


def test_a_hostile_text_stays_text():
    hostile = '</script><img src="x" onerror=alert(1)><!--'
    spec = over_sites(["a"], [hostile], hostile)
    made = Chart(spec, [{"site": "a", "hypothesis": hostile, "value": 0.5, "value_low": 0.4, "value_high": 0.6}])
    assert "<img" not in made.table() and "<img" not in made._html() and hostile in made.to_json().replace('\\"', '"')


def test_a_widget_holds_its_parts_and_a_plain_process_gets_none(run: Path):
    pytest.importorskip("anywidget")
    part = Plots(run).layers(FEATURE).part()
    made = widget([{"text": "words"}, part])
    assert json.loads(made.parts) == [{"text": "words"}, part] and "export default" in made._esm
    assert shown([part]) == {}


def test_marimo_gets_the_widget_and_without_anywidget_the_table(run: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("anywidget")
    chart = Plots(run).layers(FEATURE)
    assert list(json.loads(chart._display_().parts)[0]["chart"]["usermeta"]["values"]) == list(
        chart.spec["usermeta"]["values"]  # the columns of the table, in their order
    )
    monkeypatch.setattr("inversescope.charts.widget._kind", lambda: importlib.import_module("nothing_of_this_name"))
    assert chart._display_()._repr_html_() == chart.table()


def test_marimo_shows_a_chart(run: Path):
    marimo = pytest.importorskip("marimo")
    assert "<marimo-anywidget" in marimo.as_html(Plots(run).layers(FEATURE)).text


def test_libraries_are_those_that_were_published():
    folder = resources("inversescope.charts.vendored")
    listed = json.loads((folder / "vendored.json").read_text())
    scripts = {path.name for path in Path(str(folder)).iterdir() if path.suffix == ".js"}
    assert {library["file"] for library in listed} == scripts and len(scripts) == 3
    for library in listed:
        assert hashlib.sha256((folder / library["file"]).read_bytes()).hexdigest() == library["sha256"]
        assert "Redistribution and use" in (folder / library["licence_file"]).read_text()


def test_the_script_is_one_that_a_page_can_hold():
    whole = script()
    assert "</script" not in whole and "<!--" not in whole and "sourceMappingURL" not in whole
    own = elements.bundle()
    assert "import " not in own and "export " not in own and "customElements.define" in own
    assert "vega-util" not in vendored.script()


def test_both_themes_have_every_role_and_the_pages_have_their_colours():
    light, dark = config("light"), config("dark")
    assert light["style"].keys() == dark["style"].keys() and light["background"] != dark["background"]
    style = resources("inversescope.report.assets").joinpath("report.css").read_text()
    for role, pair in COLOURS.items():
        assert f"--{role.replace(' ', '-')}: light-dark({pair[0]}, {pair[1]});" in style, role
