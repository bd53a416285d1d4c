"""Saved charts in a real browser: two widths, both themes, no request, no error, axe, keyboard, exports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from report_fixture import Shape, write_run

from inversescope.charts.answer import over_sites
from inversescope.charts.chart import Chart
from inversescope.run.plots import Plots

pytestmark = pytest.mark.slow
SHAPE = Shape(layers=6, heads=2, generator_layers=(1, 3, 5), targets=8, samples=5)
CHARTS = ("layers", "heads", "overview")


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("charts")
    plots = Plots(write_run(folder / "run", SHAPE))
    feature = SHAPE.features[0]
    made: dict[str, Chart] = {
        "layers": plots.layers(feature), "heads": plots.heads(feature), "overview": plots.overview(),
    }  # fmt: skip
    for name, chart in made.items():
        chart.save(folder / f"{name}.html")
    return {name: folder / f"{name}.html" for name in made}


def opened(browser: Browser, file: Path, width: int = 1400, theme: Any = "light") -> tuple[Page, list[str], list[str]]:
    """The page, what it complained of, and what it requested beside itself."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, bypass_csp=False)
    page, errors, requests = context.new_page(), list[str](), list[str]()
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_selector("inverse-chart svg")
    return page, errors, [url for url in requests if url != file.as_uri() and not url.startswith(("data:", "blob:"))]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_drawn(browser: Browser, charts: dict[str, Path], name: str, width: int, theme: str):
    page, errors, requests = opened(browser, charts[name], width, theme)
    assert (errors, requests) == ([], [])
    assert page.locator("inverse-chart svg .has-tip").count() > 5
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", CHARTS)
def test_axe_finds_nothing_serious(browser: Browser, charts: dict[str, Path], name: str, theme: str, tmp_path: Path):
    # The policy of the page keeps axe's own script out; the same page without it is examined.
    text = charts[name].read_text()
    open_to_axe = tmp_path / "page.html"
    open_to_axe.write_text(text.replace('http-equiv="Content-Security-Policy"', 'name="policy"'))
    page, _, _ = opened(browser, open_to_axe, theme=theme)
    found = Axe().run(page).response["violations"]
    page.context.close()
    assert [(each["id"], each["impact"]) for each in found if each["impact"] in ("serious", "critical")] == []


def test_a_chart_without_values_says_so(browser: Browser, tmp_path: Path):
    Chart(over_sites(["resid_post.1"], ["order"], "hypotheses"), []).save(tmp_path / "page.html")
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    assert page.locator("inverse-chart").inner_text().startswith("Nothing to draw: no value was recorded for")
    page.close()


def test_a_planted_fault_is_found(browser: Browser, charts: dict[str, Path], tmp_path: Path):
    text = charts["layers"].read_text()
    broken = tmp_path / "page.html"
    broken.write_text(text.replace("<body>", '<body><script src="http://127.0.0.1:9/x.js"></script><img src="x.png">'))
    page, errors, _ = opened(browser, broken)
    page.context.close()
    assert errors  # the policy refuses both


def test_the_keyboard_reaches_the_marks_and_the_values(browser: Browser, charts: dict[str, Path]):
    page, errors, _ = opened(browser, charts["layers"])
    page.keyboard.press("Tab")
    first = page.locator("#tip").inner_text()
    page.keyboard.press("ArrowRight")
    second = page.locator("#tip").inner_text()
    assert first and second and first != second
    page.locator("inverse-chart summary").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("inverse-table tbody tr")
    assert page.locator("inverse-table tbody tr").count() > 5 and errors == []
    page.context.close()


@pytest.mark.parametrize("kind", ["SVG", "PNG"])
def test_the_picture_is_saved(browser: Browser, charts: dict[str, Path], kind: str, tmp_path: Path):
    page, errors, _ = opened(browser, charts["heads"])
    with page.expect_download() as download:
        page.get_by_role("button", name=f"save the chart as {kind}").click()
    saved = tmp_path / "picture"
    download.value.save_as(saved)
    page.context.close()
    start = {"SVG": b"<svg", "PNG": b"\x89PNG"}[kind]
    assert saved.read_bytes().startswith(start) and saved.stat().st_size > 2000 and errors == []


def test_the_values_are_those_of_the_chart(browser: Browser, charts: dict[str, Path]):
    page, _, _ = opened(browser, charts["layers"])
    given = json.loads(page.locator("#chart").text_content() or "")["spec"]["data"]["values"]
    shown = page.evaluate("document.querySelector('inverse-chart').rows.length")
    page.context.close()
    assert shown == len(given) > 0


def test_tips_work_in_a_shadow_tree(browser: Browser, charts: dict[str, Path], tmp_path: Path):
    page_of_a_notebook = tmp_path / "page.html"  # marimo puts widgets into shadow trees, with a copy of their styles
    inside = (
        "const root = document.body.appendChild(document.createElement('div')).attachShadow({ mode: 'open' });"
        "root.append(document.querySelector('style').cloneNode(true), chart);"
    )
    text = charts["layers"].read_text()
    assert "document.body.append(chart);" in text
    page_of_a_notebook.write_text(text.replace("document.body.append(chart);", inside))
    page, errors, _ = opened(browser, page_of_a_notebook)
    marks, tip = page.locator("inverse-chart svg .has-tip"), page.locator("#tip")
    marks.first.hover(force=True)
    assert tip.evaluate("(tip) => getComputedStyle(tip).position") == "fixed"
    page.mouse.move(2, 2)
    assert not tip.is_visible()
    marks.first.focus()
    first = tip.inner_text()
    page.keyboard.press("ArrowRight")
    assert first and tip.inner_text() not in ("", first) and errors == []
    page.context.close()


def test_hypotheses_of_one_site_stand_beside_each_other(browser: Browser, tmp_path: Path):
    names = ["one", "other", "third"]
    rows = [{"site": "a", "hypothesis": name, "value": 0.5, "value_low": 0.2, "value_high": 0.8} for name in names]
    Chart(over_sites(["a"], names, "one site"), rows).save(tmp_path / "page.html")
    page, errors, _ = opened(browser, tmp_path / "page.html")
    places = page.locator("inverse-chart svg .has-tip").evaluate_all(
        "marks => marks.map((mark) => Math.round(mark.getBoundingClientRect().x))"
    )
    page.context.close()
    assert len(set(places)) == len(names) and errors == []
