"""The viewer in a real browser: the main path by keyboard alone, two widths, both themes, no other host, axe."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from small_subject import World, call, config_text, save_subject

from inversescope.view.bundle import write_bundle
from inversescope.view.runs import identified
from inversescope.view.serve import Viewing, viewing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
WAIT = 60_000  # milliseconds, for everything that is waited for


@pytest.fixture(scope="module")
def viewer(world: World) -> Iterator[Viewing]:
    with viewing([world.run]) as viewer:
        yield viewer


class Opened(NamedTuple):
    """A page, the errors of its console, and its requests to other hosts."""

    page: Page
    errors: list[str]
    elsewhere: list[str]


@pytest.fixture
def open_page(browser: Browser, viewer: Viewing) -> Iterator[Any]:
    contexts = []

    def opened(view: str, width: int = 1400, theme: Any = "light", **context: Any) -> Opened:
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, **context))
        page, errors, elsewhere = contexts[-1].new_page(), list[str](), list[str]()
        page.set_default_timeout(WAIT)
        page.on("console", lambda said: errors.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda sent: elsewhere.append(sent.url) if not _ours(sent.url, viewer) else None)
        page.goto(f"{viewer.address}/?token={viewer.token}#{view.replace('RUN', viewer.ids[0])}")
        page.wait_for_selector("main h1")
        return Opened(page, errors, elsewhere)

    yield opened
    for context in contexts:
        context.close()


def _ours(url: str, viewer: Viewing) -> bool:
    return url.startswith((viewer.address, "data:", "blob:"))


def invert(page: Page) -> None:
    page.wait_for_selector("inverse-tokens [role=radio]")
    page.get_by_role("button", name="Invert", exact=True).first.click()
    finished(page)


def finished(page: Page) -> None:
    page.wait_for_selector(".answer[aria-busy=false] .draw-rows .draw")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("view", ["runs", "overview?run=RUN", "stored?run=RUN", "invert?run=RUN"])
def test_a_view_is_whole(open_page: Any, view: str, width: int, theme: str):
    page, errors, elsewhere = open_page(view, width, theme, bypass_csp=True)
    if view.startswith("invert"):
        invert(page)
    if view.startswith("overview"):
        page.wait_for_selector("inverse-chart svg")
    if view.startswith("stored"):
        page.wait_for_selector(".draw-rows .draw")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page, options={"iframes": False}).response["violations"]
    assert [(each["id"], each["impact"]) for each in found if each["impact"] in ("serious", "critical")] == []
    assert (errors, elsewhere) == ([], [])


def test_the_policy_of_the_page_holds(open_page: Any):
    page, errors, _ = open_page("invert?run=RUN")
    invert(page)
    page.locator("inverse-chart").scroll_into_view_if_needed()
    page.wait_for_selector("inverse-chart svg")
    assert errors == []
    page.evaluate(
        "const s = document.createElement('script'); s.textContent = 'window.planted = 1'; document.body.append(s)"
    )
    page.evaluate("new Image().src = 'http://127.0.0.1:9/x.png'")
    page.wait_for_timeout(300)
    assert page.evaluate("window.planted") is None and errors  # both planted faults are refused


def test_text_is_text(open_page: Any):
    page, errors, _ = open_page("invert?run=RUN")
    page.get_by_label("text", exact=True).fill("<img src=x onerror='window.planted = 1'> <b>bold</b>")
    page.wait_for_function("() => document.querySelector('inverse-tokens').textContent.includes('img')")
    assert page.evaluate(
        "[window.planted ?? null, document.querySelectorAll('main img, main inverse-tokens b').length]"
    ) == [None, 0]
    assert errors == []


def test_the_main_path_by_keyboard_alone(open_page: Any):
    page, errors, _ = open_page("invert?run=RUN")
    page.wait_for_selector("inverse-tokens [role=radio]")
    keys = page.keyboard

    def tab_to(selector: str) -> None:
        for _ in range(60):
            if page.evaluate("s => document.activeElement?.matches(s) ?? false", selector):
                return
            keys.press("Tab")
        raise AssertionError(f"Tab does not lead to {selector}")

    tab_to("textarea")
    text = page.get_by_label("text", exact=True).input_value()
    tab_to("inverse-tokens [role=radio]")
    keys.press("ArrowLeft")
    token = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert page.evaluate("document.activeElement.getAttribute('aria-checked')") == "true"
    keys.press("ArrowRight")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") != token
    tab_to("button.site-cell")
    keys.press("Home")
    site = page.evaluate("document.activeElement.dataset.site")
    tab_to(".choices [role=radio]")
    keys.press("ArrowRight")
    tab_to("button.primary")
    keys.press("Enter")
    finished(page)
    assert page.locator("code").first.inner_text() == site
    tab_to(".col-weight .sort")
    keys.press("Enter")
    weights = [
        float(value)
        for value in page.locator(".draw-rows .col-weight .meter-cell > :first-child").all_inner_texts()
        if value != "–"
    ]
    assert weights == sorted(weights, reverse=True) and len(weights) > 1
    tab_to(".open-draw")
    keys.press("Enter")
    assert page.locator(".more .labels").count() == 1
    address = page.url
    assert (
        "sort=-weight" in address
        and f"site={site}" in address
        and text.split()[0].strip(",.") in address
        and errors == []
    )


def test_a_link_restores_what_was_chosen(open_page: Any):
    page, errors, _ = open_page("invert?run=RUN&n=20&seed=4&sort=-weight&filter=a&position=1")
    page.wait_for_selector("inverse-tokens [role=radio]")
    invert(page)
    assert page.locator("inverse-tokens [aria-checked=true]").get_attribute("aria-label").startswith("token 1:")
    assert page.locator(".col-weight").first.get_attribute("aria-sort") == "descending"
    assert page.get_by_label("filter the inputs").input_value() == "a" and errors == []


def test_two_questions_stand_side_by_side(open_page: Any):
    page, errors, _ = open_page("invert?run=RUN")
    page.wait_for_selector("inverse-tokens [role=radio]")
    page.get_by_role("button", name="Compare with another").click()
    page.wait_for_function(
        "() => document.querySelectorAll('inverse-question inverse-tokens [role=radio]:first-child').length === 2"
    )
    for ask in page.get_by_role("button", name="Invert", exact=True).all():
        ask.click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.answer')].every((answer) => answer.ariaBusy === 'false' "
        "&& answer.querySelector('.draw-rows .draw'))"
    )
    assert errors == []


def test_the_slider_weighs_the_same_draws(open_page: Any):
    page, errors, _ = open_page("invert?run=RUN")
    invert(page)
    before = page.locator(".slider output").inner_text()
    rows = page.locator(".draw-rows .draw").count()
    page.locator(".slider input").press("Home")
    page.wait_for_function(
        "(before) => document.querySelector('.slider output').textContent.includes('effective') "
        "&& document.querySelector('.slider output').textContent !== before",
        arg=before,
    )
    assert page.locator(".draw-rows .draw").count() == rows and errors == []


def test_each_mined_hypothesis_is_listed_once_where_its_interval_begins_highest(open_page: Any):
    found = [("loose", "a", 1.0, -0.3), ("firm", "a", 0.6, 0.2), ("firm", "b", 0.9, 0.7), ("firm", "c", 0.95, 0.5)]
    rows = [
        {"words": words, "site": site, "corrected": value, "corrected_low": low, "corrected_high": 1.0, "chance": 0.25,
         "resolution": 8.0, "bandwidth": 0.4, "significant": low > 0}
        for words, site, value, low in found
    ]  # fmt: skip
    page, errors, _ = open_page("runs")
    planted = lambda route: route.fulfill(json=route.fetch().json() | {"hypotheses": rows})  # noqa: E731
    page.route(re.compile(r"/api/runs/\w+$"), planted)
    page.get_by_role("link", name="Overview").click()
    table = page.locator("section", has=page.get_by_role("heading", name="Mined hypotheses")).locator("tbody")
    table.wait_for()
    cells = [row.locator("th, td").all_inner_texts() for row in table.locator("tr").all()]
    assert [row[0] for row in cells] == ["firm", "loose"] and errors == []
    assert cells[0][3:] == ["b", "1 in 8", "3 sites"] and cells[1][5] == "0 sites"


def test_an_activation_is_explained(open_page: Any):
    page, errors, _ = open_page("invert?run=RUN")
    page.wait_for_selector("inverse-tokens [role=radio]")
    page.get_by_role("button", name="Explain").click()
    page.wait_for_selector(".explanation", timeout=120_000)
    assert errors == []


def test_an_error_is_shown_and_nothing_is_lost(open_page: Any):
    page, _, _ = open_page("invert?run=RUN")
    invert(page)
    rows = page.locator(".draw-rows .draw").count()
    page.get_by_label("text", exact=True).fill("x" * 30_000)
    page.wait_for_selector(".problem")
    assert "too long" in page.locator(".problem").inner_text()
    assert page.locator(".draw-rows .draw").count() == rows


def test_a_bundle_is_shown_by_a_double_click(browser: Browser, world: World, tmp_path: Path):
    folders = identified([world.run])
    write_bundle(folders, tmp_path / "shared", lambda _: None)
    context = browser.new_context()
    try:
        page, errors, requests = context.new_page(), list[str](), list[str]()
        page.set_default_timeout(WAIT)
        page.on("console", lambda said: errors.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda sent: requests.append(sent.url))
        page.goto((tmp_path / "shared" / "index.html").as_uri() + f"#stored?run={next(iter(folders))}")
        page.wait_for_selector(".draw-rows .draw")
        page.get_by_role("link", name="Overview").click()
        page.wait_for_selector("inverse-chart svg")
        assert errors == [] and all(url.startswith(("file:", "data:", "blob:")) for url in requests)
    finally:
        context.close()


def test_a_run_that_is_not_there_is_said(open_page: Any, viewer: Viewing, browser: Browser):
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(f"{viewer.address}/?token={viewer.token}#overview?run=nothing")
        page.wait_for_selector(".problem", timeout=WAIT)
        assert "nothing" in page.locator(".problem").inner_text()
    finally:
        context.close()


def test_a_model_that_is_gone_is_named_on_the_page_and_in_the_terminal(browser: Browser, tmp_path: Path):
    model, run, said = save_subject(tmp_path / "gone-model"), tmp_path / "run", list[str]()
    (tmp_path / "run.toml").write_text(config_text(model, steps=20))
    assert call("run", tmp_path / "run.toml", "--out", run) == 0
    shutil.rmtree(model)
    with viewing([run], say=said.append) as viewer:
        context = browser.new_context()
        try:
            page = context.new_page()
            page.set_default_timeout(WAIT)
            page.goto(f"{viewer.address}/?token={viewer.token}#overview?run={viewer.ids[0]}")
            page.wait_for_selector("inverse-chart svg")  # what needs no model is shown
            page.get_by_role("link", name="Invert a text").click()
            page.wait_for_selector(".problem")
            shown = page.locator(".problem").inner_text()
            assert "gone-model" in shown and "fault of InverseScope" not in shown
            assert page.get_by_label("text", exact=True).input_value()  # nothing is lost
            assert any("gone-model" in line for line in said)
        finally:
            context.close()


def test_the_explanation_stands_beside_the_draws(open_page: Any):
    page, errors, _ = open_page("invert?run=RUN")
    invert(page)
    page.get_by_role("button", name="Explain").click()
    page.wait_for_selector(".explanation", timeout=120_000)
    draws, explained = (page.locator(name).bounding_box() for name in (".answer-body", ".explanation"))
    assert draws and explained and draws["x"] + draws["width"] <= explained["x"]
    assert abs(draws["y"] - explained["y"]) < 60
    page.set_viewport_size({"width": 400, "height": 900})
    draws, explained = (page.locator(name).bounding_box() for name in (".answer-body", ".explanation"))
    assert draws and explained and draws["y"] + draws["height"] <= explained["y"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 400 and errors == []


def test_pages_of_two_readers_do_not_disturb_each_other(open_page: Any):
    one, other = open_page("invert?run=RUN&n=200"), open_page("invert?run=RUN&n=20")
    for page in (one.page, other.page):
        page.wait_for_selector("inverse-tokens [role=radio]")
        page.get_by_role("button", name="Invert", exact=True).click()
    one.page.close()  # its work ends
    finished(other.page)
    assert other.errors == []
