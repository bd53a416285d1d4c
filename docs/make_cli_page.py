"""Write docs/cli.md from the CLI itself: `python docs/make_cli_page.py`. A test compares the page with the CLI."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).with_name("cli.md")
NOTE = "<!-- Made by docs/make_cli_page.py; change the docstrings and options of the CLI instead. -->\n\n"


def page() -> str:
    """The page as Markdown, by typer's own generator: each command with its usage, text, arguments and options."""
    command = [sys.executable, "-m", "typer", "inversescope.cli", "utils", "docs", "--name", "inversescope"]
    return NOTE + subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
