"""Write docs/config.md from the config's own descriptions: `python docs/make_config_page.py`. A test compares them."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from inversescope.config import RunConfig, keys, sections
from inversescope.tasks import entries

PAGE = Path(__file__).with_name("config.md")
HEAD = """<!-- Made by docs/make_config_page.py; change the descriptions in the code instead. -->

# Config

A run is described by one TOML file: `inversescope demo --print-config > my.toml` gives a first one, and
`inversescope config [SECTION]` prints the tables below. Every key has a default. A key that does not exist is refused.
"""


def page() -> str:
    """The page as Markdown: one table for each section, one for each task."""
    seed = RunConfig.model_fields["seed"]
    parts = [HEAD, f"`seed = {seed.default}`, before the first section: {seed.description}.\n"]
    parts += [_section(f"`[{name}]`", model) for name, model in sections().items()]
    parts += [_section(f"Task `{name}`", entry.config) for name, entry in entries().items()]
    return "\n".join(parts)


def _section(title: str, model: type[BaseModel]) -> str:
    rows = [f"| `{key}` | `{default}` | {meaning} |".replace("`|`", "`\\|`") for key, default, meaning in keys(model)]
    words = (model.__doc__ or "").split("\n\n")[0].replace("\n    ", " ")
    return "\n".join([f"## {title}", "", words, "", "| key | default | meaning |", "|---|---|---|", *rows, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
