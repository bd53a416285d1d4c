"""The overview in a real browser: what stands under the pointer and the keyboard is what the records say."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from report_fixture import Shape, write_run

from inversescope import files, records
from inversescope.records.levels import level
from inversescope.report import write_report
from inversescope.run.plots import Plots
from inversescope.sites import Site
from inversescope.verdicts import NULL_FEATURE

pytestmark = pytest.mark.slow
SHAPE = Shape(layers=6, heads=0, generator_layers=(1, 3, 5), targets=8, samples=5)
CLAIMED_NOTHING = 2  # layer at which a hash of the input is above chance, too
STRIP = "nothing is claimed at this layer"
TIP = "() => [...(document.querySelector('#tip:not([hidden])')?.children ?? [])].map((line) => line.textContent)"
MARKS = """(marks) => marks.map((mark) => {
  const { left, top, width, height } = mark.getBoundingClientRect();
  return { x: left + width / 2, y: top + height / 2, top, height, lines: mark.tip() };
})"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("overview") / "run", SHAPE)
    path = run / records.score.RESULTS.path
    rows = files.read_table(path).to_pylist()
    changed = [row | {"null_passes": Site.parse(row["site"]).layer == CLAIMED_NOTHING} for row in rows]
    files.write_table(path, records.score.RESULTS.of(changed))
    return run


@pytest.fixture(scope="module")
def report(run: Path) -> Path:
    return write_report(run)


@pytest.fixture(scope="module")
def expected(run: Path) -> dict[tuple[str, str], str]:
    """The score of each site and feature in words, by the records, at the level of the headline."""
    shown = Plots(run).overview().values
    at = {row["level"] for row in shown}
    rows = files.read_table(run / records.score.RESULTS.path).to_pylist()
    return {
        (row["site"], row["feature"]): _words(row)
        for row in rows
        if row["method"] == "reference" and row["feature"] != NULL_FEATURE and level(row) in at
        if row["corrected"] is not None
    }


def _words(row: dict[str, Any]) -> str:
    value, low, high = (f"{row['corrected' + end]:z.2f}".replace("-", "−") for end in ("", "_low", "_high"))
    return f"{value} [{low}, {high}]"


@pytest.fixture(params=[(400, "dark"), (400, "light"), (1400, "dark"), (1400, "light")], ids=str)
def page(request: Any, browser: Browser, report: Path) -> Iterator[Page]:
    """The report with its overview in sight; it ends without a complaint, and is no wider than the window."""
    width, theme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    page, complaints = context.new_page(), list[str]()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(report.as_uri())
    page.evaluate("document.documentElement.style.scrollBehavior = 'auto'")
    page.locator("#overview inverse-chart").scroll_into_view_if_needed()
    page.wait_for_selector("#overview inverse-chart svg .has-tip")
    page.locator("#overview inverse-chart .picture").evaluate("(picture) => picture.scrollIntoView({block: 'center'})")
    yield page
    assert complaints == [] and page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def said(lines: list[str]) -> tuple[tuple[str, str], str]:
    """The site and the feature that a tip names, and its score in words."""
    named = dict(line.split(": ", 1) for line in lines[1:])
    assert named["method"] == "reference"
    return (lines[0], named["feature"]), named["corrected score"]


def test_a_mark_says_what_the_records_say(page: Page, expected: dict[tuple[str, str], str]):
    marks = page.locator("#overview inverse-chart svg .has-tip").evaluate_all(MARKS)
    scores = [mark for mark in marks if mark["lines"] != [STRIP]]
    assert {said(mark["lines"])[0] for mark in scores} == set(expected)
    for mark in scores:
        cell, words = said(mark["lines"])
        assert words == expected[cell], cell
    for feature in SHAPE.features:  # a higher score stands higher
        heights = {
            float(said(mark["lines"])[1].split()[0].replace("−", "-")): mark["y"]
            for mark in scores
            if said(mark["lines"])[0][1] == feature
        }
        ordered = [heights[value] for value in sorted(heights)]
        assert all(above <= below + 0.5 for below, above in pairwise(ordered)), heights


def test_the_pointer_shows_the_score_under_it(page: Page, expected: dict[tuple[str, str], str]):
    marks = page.locator("#overview inverse-chart svg .has-tip").evaluate_all(MARKS)
    reached = set()
    for mark in [mark for mark in marks if mark["lines"] != [STRIP]]:
        page.mouse.move(mark["x"], mark["y"])
        cell, words = said(page.evaluate(TIP))  # of the uppermost, where marks lie on each other
        assert words == expected[cell] and cell[0] == mark["lines"][0]
        reached.add(cell)
    assert len(reached) > len(expected) / 2
    page.mouse.move(2, 2)
    assert page.evaluate(TIP) == []


def test_a_strip_says_that_nothing_is_claimed(page: Page):
    marks = page.locator("#overview inverse-chart svg .has-tip").evaluate_all(MARKS)
    (strip,) = [mark for mark in marks if mark["lines"] == [STRIP]]
    at_layer = [mark for mark in marks if mark["lines"][0] == f"resid_post.{CLAIMED_NOTHING}"]
    assert at_layer and all(abs(mark["x"] - strip["x"]) < 2 for mark in at_layer)
    assert all(any(line.startswith("nothing is claimed: ") for line in mark["lines"]) for mark in at_layer)
    other = [mark for mark in marks if mark["lines"][0] == f"resid_post.{CLAIMED_NOTHING + 1}"]
    assert not any(line.startswith("nothing is claimed") for mark in other for line in mark["lines"])
    heights = [strip["top"] + part * strip["height"] / 40 for part in range(2, 39)]
    page.mouse.move(strip["x"], max(heights, key=lambda y: min(abs(y - mark["y"]) for mark in at_layer)))
    assert page.evaluate(TIP) == [STRIP]


def test_the_keyboard_goes_through_every_mark(page: Page, expected: dict[tuple[str, str], str]):
    first = page.locator("#overview inverse-chart svg .has-tip[tabindex='0']")
    assert first.count() == 1
    first.focus()
    seen = []
    for _ in range(page.locator("#overview inverse-chart svg .has-tip").count()):
        seen.append(page.evaluate(TIP))
        page.keyboard.press("ArrowRight")
    assert [STRIP] in seen
    cells = dict(said(lines) for lines in seen if lines != [STRIP])
    assert cells == expected
    page.keyboard.press("Escape")
    assert page.evaluate(TIP) == []
