"""docs/run-directory.md as a contract: what a run directory holds against what the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow.parquet as pq

PAGE = Path(__file__).parents[1] / "docs" / "run-directory.md"


def documented() -> dict[str, set[str]]:
    """For each file with a section of its own, the columns or keys that its table names."""
    sections = re.findall(
        r"^### `([^`]+)`(?: \(on request\))?\n(.*?)(?=^##|\Z)", PAGE.read_text(encoding="utf-8"), re.S | re.M
    )
    return {
        name: {column for row in re.findall(r"^\| (`.*?) \|", text, re.M) for column in re.findall(r"`([^`]+)`", row)}
        for name, text in sections
        if "\n| " in text
    }


def differences(run: Path) -> list[str]:
    """One line for every file or column that only the page or only the run has; empty when they agree."""
    found, page = [], PAGE.read_text(encoding="utf-8")
    for name, expected in documented().items():
        path = run / name
        if not path.parent.exists() and f"### `{name}` (on request)\n" in page:
            continue
        names = _names(path) if path.exists() else set()
        found += [f"{name}: {column} is only in the page" for column in sorted(expected - names)]
        found += [f"{name}: {column} is only in the run" for column in sorted(names - expected)]
    records = [path for path in run.rglob("*") if path.suffix in (".parquet", ".json")]
    unheard = [path for path in records if _anonymous(path.name) not in page]
    return found + [f"{path.relative_to(run)}: not in the page" for path in unheard]


def _anonymous(name: str) -> str:
    """A file's name, one for all parts and one for all hashes."""
    return re.sub(r"\d{5}", "00000", re.sub(r"[0-9a-f]{64}", "HASH", name))


def _names(path: Path) -> set[str]:
    names = pq.read_schema(path).names if path.suffix == ".parquet" else json.loads(path.read_text(encoding="utf-8"))
    return {"label.FEATURE" if name.startswith("label.") else name for name in names}
