"""The page of `inversescope check` in a real browser: two widths, both themes, no request, axe, keyboard alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from small_subject import World, call
from test_check_run import CLAIMS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
HOSTILE = {**CLAIMS[0], "claim": 'has_word("<img src=x onerror=alert(1)>")'}


@pytest.fixture(scope="module")
def checked(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("check")
    run = shutil.copytree(world.run, folder / "run")
    (folder / "claims.jsonl").write_text("\n".join(map(json.dumps, [*CLAIMS, HOSTILE])))
    options = ("--claims", folder / "claims.jsonl", "-n", 16, "--html", folder / "page.html", "--no-necessity")
    assert call("check", run, *options) == 0
    return folder / "page.html"


@pytest.fixture
def opened(browser: Browser) -> Iterator[Any]:
    contexts = []

    def opens(file: Path, width: int = 1400, theme: Any = "light", **options: Any) -> tuple[Page, list[str], list[str]]:
        contexts.append(browser.new_context(viewport={"width": width, "height": 700}, color_scheme=theme, **options))
        contexts[-1].set_default_timeout(20_000)
        page, errors, requests = contexts[-1].new_page(), list[str](), list[str]()
        page.on("console", lambda message: errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(file.as_uri())
        return page, errors, [url for url in requests if url != file.as_uri()]

    yield opens
    for context in contexts:
        context.close()


def serious(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [each["id"] for each in found if each["impact"] in ("serious", "critical")]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_is_whole(opened: Any, checked: Path, width: int, theme: str):
    page, errors, requests = opened(checked, width, theme)
    assert (errors, requests) == ([], [])
    assert page.locator("td.verdict").count() == len(CLAIMS) + 1
    assert page.locator("img").count() == 0  # a claim stays text
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("svg.share").count() > 0


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_axe_finds_nothing_serious(opened: Any, checked: Path, width: int, theme: str, tmp_path: Path):
    # The policy of the page keeps axe's own script out; the same page without it is examined.
    copy = tmp_path / "page.html"
    copy.write_text(checked.read_text().replace('http-equiv="Content-Security-Policy"', 'name="policy"'))
    page, *_ = opened(copy, width, theme)
    assert serious(page) == []
    page.evaluate("document.querySelector('svg.share').removeAttribute('aria-label')")
    assert serious(page) == ["svg-img-alt"]  # a planted fault is found


def test_the_keyboard_reaches_what_a_narrow_page_cuts_off(opened: Any, checked: Path):
    page, *_ = opened(checked, 400)
    hidden = "(document.querySelector('.scroll').scrollLeft)"
    assert page.evaluate(hidden) == 0
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "claims"
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(500)
    assert page.evaluate(hidden) > 0
