"""Natural text in the viewer, in a real browser: draws with their ruler, what is not to be believed, no budget."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from small_subject import World, save_subject

from inversescope.errors import UserError
from inversescope.natural_text import pool
from inversescope.natural_text.natural_text import NaturalText
from inversescope.subject import Subject
from inversescope.view.models import Models
from inversescope.view.serve import Viewing, viewing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
WAIT = 90_000  # milliseconds, for everything that is waited for
TEXT, SITE = "Then, Mary and John", "resid_post.1"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("natural")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INVERSESCOPE_CACHE", str(folder / "cache"))
        patch.setattr(pool, "STEP", 4)
        yield save_subject(folder / "subject")


@pytest.fixture(scope="module")
def viewer(model: Path) -> Iterator[Viewing]:
    with viewing([], str(model)) as viewer:
        yield viewer


@pytest.fixture
def inverted(browser: Browser, viewer: Viewing) -> Iterator[Any]:
    """Opens the page at a resolution and inverts; gives the page and the errors of its console."""
    contexts = []

    def inverts(level: str, width: int = 1400) -> tuple[Page, list[str]]:
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, bypass_csp=True))
        page, errors = contexts[-1].new_page(), list[str]()
        page.set_default_timeout(WAIT)
        page.on("console", lambda said: errors.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{viewer.address}/?token={viewer.token}#invert?text={TEXT.replace(' ', '+')}&site={SITE}&{level}")
        page.wait_for_selector("inverse-tokens [role=radio]")
        page.get_by_role("button", name="Invert", exact=True).click()
        page.wait_for_selector(".answer[aria-busy=false] .answer-facts")
        return page, errors

    yield inverts
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [400, 1400])
def test_draws_stand_beside_their_ruler(inverted: Any, width: int):
    page, errors = inverted("bits=1&n=20", width)
    page.wait_for_selector(".draw-rows .draw")
    assert "bits kept" in page.locator(".answer-facts").inner_text()
    assert "unrelated" in page.locator(".summary").inner_text()
    page.locator(".open-draw").first.click()
    details = page.locator(".labels").first.inner_text()
    assert "ln P under the prior" in details and "distance in words" in details
    assert "20 draws" in page.locator(".count").inner_text()
    assert page.get_by_role("button", name="Explain").count() == 0
    page.locator(".budget summary").click()
    assert page.locator(".budget input").count() == 2  # draws and seed, no budget
    assert page.locator(".no-score").count() == 0  # no site has a score, and none is marked as without
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
    assert errors == []


def test_where_nothing_is_to_be_believed_there_is_no_draw(inverted: Any):
    page, errors = inverted("bits=23")
    assert "not to be believed" in page.locator(".summary .notice").first.inner_text()
    assert not page.locator("inverse-draws").is_visible() and not page.locator(".distances").is_visible()
    again = page.get_by_role("button", name="Invert at")
    if again.count():  # a coarser resolution has an answer
        again.click()
        page.wait_for_selector(".answer[aria-busy=false] .draw-rows .draw")
        assert page.locator("inverse-draws").is_visible()
    assert errors == []


def test_pages_are_answered_while_another_prepares_and_a_second_waits_visibly(
    browser: Browser, model: Path, world: World, monkeypatch: pytest.MonkeyPatch
):
    enough = threading.Event()

    def slow(_: Models, name: str, site: str, length: int, progress: Any, seen: Any) -> Any:
        while not enough.wait(0.05):
            progress(1, 100, "tokens of the pool")
        raise UserError("planted end")

    def opened(view: str) -> Page:
        page = browser.new_context().new_page()
        page.set_default_timeout(WAIT)
        page.goto(f"{viewer.address}/?token={viewer.token}#{view}")
        return page

    def asks(page: Page, status: str) -> None:
        page.wait_for_selector("inverse-tokens [role=radio]")  # the model has read the text
        page.get_by_role("button", name="Invert", exact=True).click()
        page.locator(".status", has_text=status).wait_for()

    monkeypatch.setattr(Models, "natural", slow)
    with viewing([world.run], str(model)) as viewer:
        try:
            first, second = (opened(f"invert?text={TEXT.replace(' ', '+')}&site={SITE}") for _ in range(2))
            asks(first, "tokens of the pool: 1 of 100")
            asks(second, "waiting: 1 before this one")
            records = opened(f"overview?run={viewer.ids[0]}")
            records.wait_for_selector("inverse-chart svg")
            run = opened(f"invert?run={viewer.ids[0]}")
            asks(run, "draws verified")
            run.wait_for_selector(".answer[aria-busy=false] .draw-rows .draw")
            third = opened(f"invert?text={TEXT.replace(' ', '+')}&site={SITE}")
            asks(third, "waiting: 2 before this one")
            second.get_by_role("button", name="Cancel").click()
            second.locator(".status", has_text="cancelled").wait_for()
            third.locator(".status", has_text="waiting: 1 before this one").wait_for()
            assert first.locator(".answer").get_attribute("aria-busy") == "true"
            first.get_by_role("button", name="Cancel").click()
            third.locator(".status", has_text="tokens of the pool").wait_for()
            enough.set()
            third.locator(".problem", has_text="planted end").wait_for()
        finally:
            enough.set()
            for context in browser.contexts:
                context.close()


def test_a_question_can_be_cancelled_while_inputs_are_read(model: Path):
    class CancelledError(Exception):
        pass

    def cancel(done: int, total: int, note: str = "", /) -> None:
        seen.append((done, total))
        if done:
            raise CancelledError

    seen: list[tuple[int, int]] = []
    text = NaturalText.open(Subject.load(str(model), device="cpu", dtype="float32"), sites=[SITE], length=4)
    with pytest.raises(CancelledError):
        text.invert(TEXT, site=SITE, bits=1, progress=cancel)
    assert seen[0][0] == 0 < seen[-1][0] < seen[-1][1]
