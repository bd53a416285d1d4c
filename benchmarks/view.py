"""Seconds from the click on *Invert* to the first draws on the screen, once the model is loaded.

    python benchmarks/view.py RUN [--questions 8]

Each question reads another token of the run's first target. Chromium, on this machine.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from inversescope.view.serve import viewing

WAIT = 180_000  # milliseconds
WANTED = 2.0  # seconds
SECONDS = """async () => {
  const question = document.querySelector("inverse-question");
  const rows = question.querySelector(".draw-rows");
  rows?.replaceChildren();
  const start = performance.now();
  question.querySelector("button.primary").click();
  while (!question.querySelector(".draw-rows .draw")) await new Promise(requestAnimationFrame);
  const first = performance.now() - start;
  while (question.querySelector(".answer").ariaBusy === "true") await new Promise(requestAnimationFrame);
  return [first / 1000, (performance.now() - start) / 1000];
}"""


def measured(page: Page, questions: int) -> list[tuple[float, float]]:
    """Seconds to the first and to the last draws of each question, after one that warms up."""
    page.wait_for_selector("inverse-tokens [role=radio]")
    page.evaluate(SECONDS)
    tokens = page.locator("inverse-tokens [role=radio]")
    found = []
    for number in range(questions):
        tokens.nth(max(0, tokens.count() - 1 - number)).click()
        found.append(tuple(page.evaluate(SECONDS)))
    return found


def main() -> None:
    """Print the seconds of every question."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--questions", type=int, default=8)
    given = parser.parse_args()
    path = shutil.which("chromium") or shutil.which("google-chrome")
    with viewing([given.run]) as viewer, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(WAIT)
        page.goto(f"{viewer.address}/?token={viewer.token}#invert?run={viewer.ids[0]}")
        seconds = measured(page, given.questions)
        browser.close()
    for first, last in seconds:
        print(f"first draws {first:.2f} s, all draws {last:.2f} s")
    median = statistics.median(first for first, _ in seconds)
    print(f"median to the first draws: {median:.2f} s (wanted: {WANTED:g} s)")


if __name__ == "__main__":
    main()
