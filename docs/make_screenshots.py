"""Pictures of docs/viewer.md and of the README, from a real run: `python docs/make_screenshots.py RUN`.

Needs the extra `view`, Playwright and Chromium.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page, sync_playwright

from inversescope.view.serve import Viewing, viewing

FOLDER = Path(__file__).parent
TEXT = "Then, John and Daniel had a lot of fun at the garden. John gave a ring to"
ASKED = {"text": TEXT, "site": "resid_post.23", "feature": "indirect object"}
WAIT = 180_000  # milliseconds


def opened(browser: Browser, viewer: Viewing, theme: str, view: str, height: int = 900) -> Page:
    """A view of the page."""
    context = browser.new_context(
        viewport={"width": 1400, "height": height}, color_scheme="dark" if theme == "dark" else "light"
    )
    page = context.new_page()
    page.set_default_timeout(WAIT)
    page.goto(f"{viewer.address}/?token={viewer.token}#{view}")
    page.wait_for_selector("main h1")
    return page


def inverted(page: Page) -> None:
    """The page after each of its questions is answered."""
    page.wait_for_selector("inverse-tokens [role=radio]")
    for number, ask in enumerate(page.get_by_role("button", name="Invert", exact=True).all()):
        ask.click()
        page.locator(".answer").nth(number).locator(".draw-rows .draw").first.wait_for()
        page.wait_for_function(
            "() => [...document.querySelectorAll('.answer')].every((each) => each.ariaBusy !== 'true')"
        )
    page.mouse.move(0, 0)


def main(run: Path) -> None:
    """Take the pictures."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    with viewing([run]) as viewer, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        asked = urlencode({"run": viewer.ids[0], **ASKED})
        for theme in ("light", "dark"):
            page = opened(browser, viewer, theme, f"invert?{asked}", 980)
            inverted(page)
            page.screenshot(path=FOLDER / f"viewer-invert-{theme}.png")
        page = opened(
            browser, viewer, "light", f"invert?{asked}&b=1&" + urlencode({"b.text": TEXT, "b.site": "resid_post.8"})
        )
        inverted(page)
        for chart in page.locator("inverse-chart").all():  # charts are drawn when they come near
            chart.scroll_into_view_if_needed()
            chart.locator("svg").first.wait_for()
        page.screenshot(path=FOLDER / "viewer-compare.png", full_page=True)
        page = opened(browser, viewer, "light", f"invert?{asked}")
        page.get_by_role("button", name="Explain").click()
        explained = page.locator(".explanation")
        explained.wait_for()
        explained.screenshot(path=FOLDER / "viewer-explain.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
