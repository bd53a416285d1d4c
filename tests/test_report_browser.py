"""The report in a real browser: two widths, both themes, no request, no complaint, axe, exports, themes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from report_fixture import Shape, embedded, write_run

from inversescope.report import write_report

pytestmark = pytest.mark.slow
SHAPE = Shape(layers=6, heads=2, generator_layers=(1, 3, 5), targets=8, samples=5)
CHARTS = {"overview", "layers", "heads", "levels", "calibration", "distances", "used", "by distance"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(write_run(tmp_path_factory.mktemp("run"), SHAPE))


@pytest.fixture
def opened(browser: Browser) -> Iterator[Any]:
    """Opens a page; gives it back with its complaints and its requests beside itself."""
    contexts = []

    def opens(file: Path, width: int = 1400, theme: Any = "light") -> tuple[Page, list[str], list[str]]:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
        contexts.append(context)
        context.set_default_timeout(20_000)
        page, complaints, requests = context.new_page(), list[str](), list[str]()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(file.as_uri())
        page.locator("#overview").scroll_into_view_if_needed()
        page.wait_for_selector("#overview inverse-chart svg")
        own = (file.as_uri(), "data:", "blob:")
        return page, complaints, [url for url in requests if not url.startswith(own)]

    yield opens
    for context in contexts:
        context.close()


def until(page: Page, expression: str) -> None:
    """Waits until an expression holds; the policy of the page keeps out what Playwright would wait with."""
    for _ in range(100):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"never: {expression}")


def read_through(page: Page) -> set[str]:
    """Scrolls to every chart, waits until it is drawn, and gives back the kinds there are."""
    names = []
    for figure in page.locator("[data-figure]").all():
        figure.scroll_into_view_if_needed()
        figure.locator(":scope > *").first.wait_for()
        for chart in figure.locator("inverse-chart").all():
            chart.scroll_into_view_if_needed()
            chart.locator("svg").wait_for()
            names.append(chart.get_attribute("name") or "")
    return {re.sub(f" ({'|'.join(SHAPE.features)})$", "", name) for name in names}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_every_chart_is_drawn_without_a_complaint(opened: Any, report: Path, width: int, theme: str):
    page, complaints, requests = opened(report, width, theme)
    assert read_through(page) == CHARTS
    page.screenshot(full_page=True)  # changes the size of the window for a moment
    assert (complaints, requests) == ([], [])
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    narrow = (
        "[...document.querySelectorAll('inverse-chart svg')].filter((svg) => !(svg.width.baseVal.value > 100)).length"
    )
    assert page.evaluate(narrow) == 0


def test_a_request_and_a_complaint_would_be_seen(opened: Any, report: Path, tmp_path: Path):
    text = report.read_text().replace("default-src 'none'", "default-src http:")
    planted = '<script>console.warn("x");</script><img alt="" src="http://127.0.0.1:9/x.png">'
    (tmp_path / "page.html").write_text(text.replace("</header>", f"{planted}</header>"))
    page, complaints, requests = opened(tmp_path / "page.html")
    page.wait_for_load_state()
    assert "x" in complaints and requests == ["http://127.0.0.1:9/x.png"]


def test_charts_far_away_are_drawn_when_they_come_near(opened: Any, report: Path):
    page, *_ = opened(report)
    figure = page.locator('[data-figure="by-distance"]')
    assert figure.locator("*").count() == 0
    figure.scroll_into_view_if_needed()
    figure.locator("inverse-chart svg").wait_for()


def test_pictures_far_away_are_given_up_and_come_back(opened: Any, report: Path):
    page, complaints, _ = opened(report)
    page.evaluate("document.documentElement.style.scrollBehavior = 'auto'")
    page.evaluate("document.body.style.paddingBottom = '9000px'")
    chart = page.locator('inverse-chart[name="overview"]')
    height = chart.evaluate("(chart) => chart.querySelector('.picture').offsetHeight")
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    until(page, "!document.querySelector('inverse-chart[name=overview] svg')")
    assert chart.evaluate("(chart) => chart.querySelector('.picture').offsetHeight") == height
    page.evaluate("scrollTo(0, 0)")
    chart.locator("svg").wait_for()
    assert complaints == []


def test_a_long_table_starts_with_its_first_rows(opened: Any, tmp_path: Path):
    shape = Shape(layers=30, heads=1, generator_layers=tuple(range(30)), targets=2, samples=1)
    page, complaints, _ = opened(write_report(write_run(tmp_path / "run", shape)))
    verdicts = page.locator("inverse-table:has(table.verdicts)")
    rows, whole = verdicts.locator("tbody tr"), verdicts.get_by_role("button", name="show all")
    verdicts.scroll_into_view_if_needed()
    assert whole.text_content() == "show all 120 rows"
    assert (rows.count(), verdicts.evaluate("(table) => table.csv().split('\\r\\n').length")) == (100, 121)
    verdicts.locator("button.sort").first.click()
    verdicts.locator("button.sort").first.click()
    assert (rows.first.text_content() or "").startswith("resid_post.29")  # of all rows, not of those in sight
    verdicts.locator("input").fill("post.29")
    assert (rows.count(), whole.is_visible()) == (4, False)
    verdicts.locator("input").fill("")
    whole.click()
    assert (rows.count(), whole.is_visible(), complaints) == (120, False, [])


def test_an_address_leads_into_a_figure_that_is_not_drawn(opened: Any, report: Path, tmp_path: Path):
    target = embedded(report)["targets"][-1]["row"]
    linked = tmp_path / "linked.html"
    linked.write_text(report.read_text().replace("NEARBY = 1500", "NEARBY = 0"))
    page, complaints, _ = opened(linked)
    page.evaluate(f"location.hash = 'target-{target}'")
    until(page, f"document.getElementById('target-{target}')?.matches('.linked')")
    top = page.locator(f"#target-{target}").evaluate("(card) => card.getBoundingClientRect().top")
    assert -5 < top < 850 and complaints == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened: Any, report: Path, theme: str, tmp_path: Path):
    # The policy of the page keeps axe's own script out; the same page without it is examined.
    text = report.read_text()
    (tmp_path / "page.html").write_text(text.replace('http-equiv="Content-Security-Policy"', 'name="policy"'))
    page, *_ = opened(tmp_path / "page.html", theme=theme)
    read_through(page)
    found = Axe().run(page).response["violations"]
    bad = [each for each in found if each["impact"] in ("serious", "critical") or each["id"] == "landmark-unique"]
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in bad] == []


def test_the_keyboard_alone_reads_the_report(opened: Any, report: Path):
    page, complaints, _ = opened(report)

    def tab_to(selector: str) -> None:
        for _ in range(120):
            page.keyboard.press("Tab")
            if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"Tab never reaches {selector}")

    tab_to("#overview .control-measure button:nth-of-type(2)")
    page.keyboard.press("Enter")
    assert page.url.endswith("#overview?measure=fcr")
    until(page, "document.querySelector('#overview svg').textContent.includes('FCR')")
    tab_to("#overview svg .has-tip")
    first = page.locator("#tip").inner_text()
    page.keyboard.press("ArrowRight")
    assert first != page.locator("#tip").inner_text() != ""
    tab_to("#overview summary")
    page.keyboard.press("Enter")
    page.wait_for_selector("#overview inverse-table button.sort")
    tab_to("#overview inverse-table button.sort")
    page.keyboard.press("Enter")
    page.wait_for_selector("#overview th[aria-sort='ascending']")
    tab_to("#features .control-feature button:nth-of-type(2)")
    page.keyboard.press("Enter")
    page.wait_for_selector(f'inverse-chart[name="layers {SHAPE.features[1]}"] svg')
    assert f"feature={SHAPE.features[1]}".replace(" ", "+") in page.url and complaints == []


def test_every_chart_is_saved_and_has_its_values(opened: Any, report: Path, tmp_path: Path):
    page, complaints, _ = opened(report)
    read_through(page)
    for chart in page.locator("inverse-chart").all():
        for kind, start in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
            with page.expect_download() as download:
                chart.get_by_role("button", name=f"save the chart as {kind}").click()
            download.value.save_as(tmp_path / "picture")
            saved = (tmp_path / "picture").read_bytes()
            assert saved.startswith(start) and len(saved) > 2000
        chart.locator("summary").click()
        chart.locator("inverse-table tbody tr").first.wait_for()
        assert (
            chart.locator("inverse-table tbody tr").count()
            == min(100, chart.evaluate("(chart) => chart.rows.length"))
            > 0
        )
    assert complaints == []


HEADS = """(table) => [...table.querySelectorAll('thead th')].map((head) => {
  const [box, around] = [head.getBoundingClientRect(), table.closest('.scroll').getBoundingClientRect()];
  return [box.top - around.top, head.scrollWidth - head.clientWidth];
})"""


@pytest.mark.parametrize("width", [400, 1400])
def test_heads_of_a_table_stay_in_sight_and_are_whole(opened: Any, tmp_path: Path, width: int):
    shape = Shape(layers=30, heads=1, generator_layers=tuple(range(30)), targets=2, samples=1)
    page, *_ = opened(write_report(write_run(tmp_path / "run", shape)), width)
    table = page.locator("table.verdicts")
    table.scroll_into_view_if_needed()
    table.evaluate("(table) => table.closest('.scroll').scrollTo(0, 600)")
    heads = table.evaluate(HEADS)
    assert len(heads) > 4 and all(-1 <= top < 200 and hidden <= 0 for top, hidden in heads), heads
    page.add_style_tag(content="thead, thead th { position: static !important }")  # as it was
    assert min(top for top, _ in table.evaluate(HEADS)) < -100


def test_sections_that_were_hidden_are_drawn_when_they_come_into_sight(opened: Any, report: Path, tmp_path: Path):
    summary = tmp_path / "page.html"
    summary.write_text(report.read_text().replace("<head>", "<head><script>location.hash ||= '?view=summary'</script>"))
    page, complaints, _ = opened(summary)
    assert not page.locator("#features").is_visible()
    page.locator("#view").click()
    assert read_through(page) == CHARTS and complaints == []
    widths = "[...document.querySelectorAll('inverse-chart svg')].map((svg) => svg.width.baseVal.value)"
    assert min(page.evaluate(widths)) > 100


def test_a_feature_may_be_named_as_a_part_of_javascript(opened: Any, tmp_path: Path):
    named = ("constructor", "toString", "subject")
    page, complaints, _ = opened(write_report(write_run(tmp_path / "run", replace(SHAPE, features=named))))
    buttons = page.locator("#features .control-feature button")
    assert sorted(buttons.all_text_contents()) == sorted(named)
    page.locator("#features").scroll_into_view_if_needed()
    buttons.filter(has_text="constructor").click()
    page.locator('inverse-chart[name="layers constructor"] svg').wait_for()
    assert "feature=constructor" in page.url and complaints == []


def test_the_theme_is_kept(opened: Any, report: Path):
    page, *_ = opened(report)
    theme = "document.documentElement.dataset.theme"
    assert page.evaluate(theme) == "automatic"
    page.locator("#theme").click()
    page.locator("#theme").click()
    page.reload()
    page.wait_for_function(f"{theme} === 'dark'")


PAPERS = "[...document.querySelectorAll('inverse-chart svg')].map((svg) => svg.style.backgroundColor)"


def test_the_theme_of_the_page_is_that_of_its_charts(opened: Any, report: Path):
    page, *_ = opened(report, theme="dark")
    dark = page.evaluate(PAPERS)[0]
    page.locator("#theme").click()  # from automatic to light
    until(page, f"({PAPERS})[0] !== '{dark}'")
    page.locator("#theme").click()
    until(page, f"({PAPERS})[0] === '{dark}'")


def test_paper_has_every_feature_in_light_colours(opened: Any, report: Path):
    page, complaints, _ = opened(report, theme="dark")
    panels = "[...document.querySelectorAll('#features .panel:has(inverse-chart)')].map((p) => p.dataset.feature)"
    read_through(page)
    dark = page.evaluate(PAPERS)
    assert len(page.evaluate(panels)) == 1
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(panels.replace("inverse-chart", "svg")) == embedded(report)["features"]
    light = page.evaluate(PAPERS)
    assert len(light) > len(dark) and len(set(light)) == 1 and light[0] not in dark
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.locator("#overview").scroll_into_view_if_needed()
    until(page, f"({PAPERS})[0] === '{dark[0]}'")
    page.locator("#features").scroll_into_view_if_needed()
    until(page, f"{panels}.length === 1")
    assert complaints == []
