"""The report in a reader's hands: addresses, tables that sort and filter, tips by keyboard, values, theme, one page."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from report_fixture import Shape, embedded, read_scores, write_run
from test_report import DRAWN, chromium, drawn

from inversescope.charts.theme import COLOURS, DASHES, HUES, METHOD_DASHES, METHODS, SHAPES
from inversescope.report import write_report

SMALL = Shape(layers=6, heads=2, generator_layers=(1, 3, 5), targets=8, samples=5)
# A reader, who notes what is seen.
READER = (
    f"""
<script type="module">
{DRAWN}
"""
    + """
const seen = {};
const section = (id) => document.getElementById(id);
const firstCells = (rows) => [...rows].filter((row) => !row.hidden).map((row) => row.cells[0].textContent);
const press = (key) => document.activeElement.dispatchEvent(
  new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const tip = () => (document.getElementById("tip").hidden ? null : document.getElementById("tip").textContent);

const verdicts = section("calibration").querySelector("table.verdicts");
const kl = () => [...verdicts.tBodies[0].rows].map((row) => row.cells[4].textContent);
const button = verdicts.tHead.rows[0].cells[4].querySelector("button");
seen.kl = [kl()];
for (let i = 0; i < 3; i++) { button.click(); seen.kl.push(kl()); }
const filter = verdicts.closest(".scroll").previousElementSibling.querySelector("input");
filter.value = "post.3";
filter.dispatchEvent(new Event("input"));
seen.filtered = firstCells(verdicts.tBodies[0].rows);

dispatchEvent(new Event("beforeprint"));
await new Promise((resolve) => setTimeout(resolve, 200));
dispatchEvent(new Event("afterprint"));
const overview = section("overview");
const first = overview.querySelector("svg [tabindex='0']");
first.focus();
seen.tips = [tip()];
press("ArrowRight");
seen.tips.push(tip());
press("ArrowLeft");
seen.tips.push(tip());
press("Escape");
seen.tips.push(tip());
section("provenance").querySelector(".undefined")?.focus();
seen.stops = overview.querySelectorAll("svg [tabindex='0']").length;

const details = overview.querySelector("details.values");
details.open = true;
details.dispatchEvent(new Event("toggle"));
seen.values = [...details.querySelectorAll("tr")].map((row) => [...row.cells].map((cell) => cell.textContent));

overview.querySelector(".control-measure button:nth-of-type(2)").click();
seen.address = location.hash;
seen.valuesAfter = details.isConnected;
document.getElementById("theme").click();
seen.theme = document.documentElement.dataset.theme;
document.getElementById("view").click();
seen.view = [location.hash, section("features").checkVisibility(), section("overview").checkVisibility()];
const note = document.createElement("pre");
note.id = "seen";
note.textContent = JSON.stringify(seen);
document.body.append(note);
</script>
"""
)


NOTHING_KEPT = """
<script>Storage.prototype.getItem = Storage.prototype.setItem = () => { throw new Error(); };</script>
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"), SMALL)


@pytest.fixture(scope="module")
def page(run: Path) -> Path:
    return write_report(run)


@pytest.fixture(scope="module")
def seen(page: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Notes of a reader of the page, in a browser that lets it keep nothing."""
    copy = tmp_path_factory.mktemp("read") / "page.html"
    copy.write_text(page.read_text().replace("<style>", f"{NOTHING_KEPT}<style>", 1))
    found = re.search(r'<pre id="seen">(.*?)</pre>', drawn(copy, tmp_path_factory.mktemp("profile"), more=READER), re.S)
    assert found, "the page's scripts, or the reader, came to no end"
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


def test_a_click_on_a_head_sorts_and_the_third_one_restores(run: Path, seen: dict[str, Any]):
    before, up, down, after = seen["kl"]
    assert before == after and sorted(before) == sorted(up) == sorted(down)
    numbers = [[float(text) for text in column if text != "–"] for column in (up, down)]
    assert numbers[0] == sorted(numbers[0]) and numbers[1] == sorted(numbers[0], reverse=True)
    assert all("–" not in column[: len(numbers[0])] for column in (up, down))  # undefined ones are last, both ways


def test_a_filter_leaves_the_rows_with_its_words(run: Path, seen: dict[str, Any]):
    rows = pq.read_table(run / "calibrate" / "calibration.parquet").to_pylist()
    assert seen["filtered"] == [row["site"] for row in rows if "post.3" in row["site"]] != []


def test_tips_are_reached_by_the_keyboard(seen: dict[str, Any]):
    first, second, back, closed = seen["tips"]
    assert first and second and first == back != second and closed is None
    assert seen["stops"] == 1  # Tab goes past a picture in one step


def test_the_values_of_a_picture_are_those_of_the_records(run: Path, page: Path, seen: dict[str, Any]):
    level = embedded(page)["start"]["level"]
    scores = {
        (row["site"], row["feature"]): row["corrected"]
        for row in read_scores(run)
        if row["method"] == "reference" and level in (row["resolution"], row["bandwidth"])
    }
    heads, *rows = seen["values"]
    assert heads == ["site", "feature", "method", "corrected score", "chance", "encoded and used?"]
    found = {(site, feature): value for site, feature, method, value, *_ in rows if method == "reference"}
    assert found.keys() == {(f"resid_post.{layer}", feature) for layer in range(6) for feature in SMALL.features}
    for place, cell in found.items():
        shown = cell.split(" ")[0].replace("\N{MINUS SIGN}", "-")
        assert (shown == "–") if scores[place] is None else float(shown) == pytest.approx(scores[place], abs=0.0051)


def test_choices_are_in_the_address_and_a_theme_needs_no_memory(seen: dict[str, Any]):
    assert seen["address"] == "#overview?measure=fcr" and seen["theme"] == "light"
    address, features, overview = seen["view"]
    assert "view=summary" in address and "measure=fcr" in address and (features, overview) == (False, True)


def test_an_address_is_followed(page: Path, tmp_path: Path):
    data = embedded(page)
    site, level = data["hypotheses"][0]["site"], data["hypotheses"][0]["bandwidth"]
    query = f"site={site}&level={level}&feature=no-such-feature&measure=bits"
    shown = drawn(page, tmp_path, fragment=f"#hypothesis-1?{query}")
    assert re.search(r'<tr id="hypothesis-1" class="[^"]*linked', shown)
    pressed = re.findall(r'<button type="button" aria-pressed="true">([^<]*)', shown)
    assert "bits" in pressed and data["start"]["feature"] in pressed
    assert f'id="target-{data["targets"][0]["row"]}"' in shown


def test_the_summary_is_one_page(page: Path, tmp_path: Path):
    printed = tmp_path / "page.pdf"
    options = [f"--print-to-pdf={printed}", "--no-pdf-header-footer", f"{page.as_uri()}#?view=summary"]
    subprocess.run([*chromium(tmp_path / "profile"), *options], capture_output=True, timeout=60, check=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed.read_bytes())) == 1


# Colours, as people see them who lack one kind of cones (Machado, Oliveira and Fernandes 2009, in linear RGB)
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "deuteranopia": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "tritanopia": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
}
TO_LMS = np.array([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]])
TO_LAB = np.array([[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]])


def oklab(colour: str, blindness: str) -> np.ndarray:
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return TO_LAB @ np.cbrt(TO_LMS @ np.clip(BLINDNESS[blindness] @ linear, 0, 1))


def looks() -> list[tuple[str, str, str]]:
    """Of each curve: its colour in both themes, and the dashes of its line."""
    return [(*hues, str(dashes)) for hues, dashes in zip(HUES, DASHES, strict=True)]


@pytest.mark.parametrize("blindness", BLINDNESS)
@pytest.mark.parametrize("theme", [0, 1])
def test_curves_are_told_apart_without_one_kind_of_cones(blindness: str, theme: int):
    seen = [oklab(look[theme], blindness) for look in looks()]
    assert len(seen) == 8
    apart = [np.linalg.norm(seen[i] - seen[j]) for i in range(8) for j in range(i)]
    assert min(apart) > 0.08


def test_red_and_green_of_one_lightness_would_be_found():
    one, other = "#b5493f", "#6f7f2a"
    distances = [np.linalg.norm(oklab(one, kind) - oklab(other, kind)) for kind in ("none", "deuteranopia")]
    assert distances[0] > 0.15 and distances[1] < 0.08


def test_curves_are_told_apart_by_their_dashes_and_marks_as_well():
    assert len({dashes for *_, dashes in looks()}) == len(set(SHAPES)) == 8


@pytest.mark.parametrize("blindness", BLINDNESS)
@pytest.mark.parametrize("theme", [0, 1])
def test_the_control_without_a_condition_is_told_apart_from_every_method(blindness: str, theme: int):
    seen = {method: oklab(COLOURS[method][theme], blindness) for method in METHODS}
    control = seen.pop("no condition")
    assert min(np.linalg.norm(control - other) for other in seen.values()) > 0.1


def test_methods_that_are_lines_have_dashes_of_their_own():
    dashes = [tuple(dash) for dash in METHOD_DASHES.values()]
    assert len({(1, 0), *dashes}) == len(dashes) + 1
