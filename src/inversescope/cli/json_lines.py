"""Answers of a command as lines of JSON, for other programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print one line of JSON for each answer in place of the tables, for `jq` and other programs. Notes and "
        "progress go to stderr.",
    ),
]


def print_lines(records: Iterable[Mapping[str, Any]]) -> None:
    """Print each record on a line; undefined is null. Signs that the output may not have are escaped."""
    from inversescope.files import plain

    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    for record in records:
        print(json.dumps(plain(record), ensure_ascii=not unicode, allow_nan=False), flush=True)
