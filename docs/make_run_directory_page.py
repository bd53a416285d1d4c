"""Write docs/run-directory.md from `inversescope.records`: `python docs/make_run_directory_page.py`.

A test compares the page with the records.
"""

from __future__ import annotations

from pathlib import Path

from inversescope.records import LABEL, ROOMS, Column, Document, Record, Room, Table

PAGE = Path(__file__).with_name("run-directory.md")
STEPS = ", ".join(f"`{room.folder}`" for room in ROOMS if room.folder and not room.on_request)
INTRODUCTION = f"""\
<!-- Made by docs/make_run_directory_page.py; change src/inversescope/records instead. -->

# The run directory

A run is a folder. Each step owns one subfolder, reads those of the steps before it, and writes its own; nothing else
passes between steps. Everything a report shows can be computed again from these files, by any program that reads
Parquet and JSON.

- A file is whole or absent: it is written beside its place and moved there in one step.
- A step is done when its folder has a `manifest.json`, which is written last. It holds the SHA-256 of every file of the
  step under `files`, and the hashes of the steps that it was made from. Every command compares a file with its hash
  when it reads it, and refuses one that differs, with both values. Manifests, `resolved.json` and `provenance.json` end
  with the hash of their own text; `resolved.json` has that of `config.toml`.
- A step that is not finished has a hidden `.parts.jsonl` with the hashes of its parts. A part that was cut off, damaged
  or edited is made again, with a message; so are all parts if the steps before gave another result since.
- `--resume` goes on after the last finished step, inside `collect` after the last finished shard, inside `train` after
  the last checkpoint, or the one before it if the last was damaged. The numbers are those of an undisturbed run.
- Parquet nulls and JSON `null` mean undefined. There is no NaN and no 0 that stands for "nothing".

"?" behind a type marks columns that may be null. Estimates have three columns, `X`, `X_low`, `X_high`: the value and
the ends of its 95% interval. NNNNN in a file name is a number that counts from 00000.

The steps, in order: {STEPS}.
"""


def page() -> str:
    """The page as Markdown: a section for each folder, and in it one for each table and JSON file."""
    return "\n".join([INTRODUCTION, *(_room(room) for room in ROOMS)])


def _room(room: Room) -> str:
    plain, sections = [], []
    for record in room.records:
        groups = getattr(record, "groups", ())
        if groups and _known(groups) is record:
            sections.append(_section(record, " (on request)" if room.on_request else ""))
        else:
            same = f" Columns as in `{_known(groups).path}`." if groups else ""
            plain.append(f"| `{record.path.removeprefix(f'{room.folder}/')}` | {record.about}{same} |")
    files = "\n".join(["| file | what it holds |", "|---|---|", *plain]) + "\n" if plain else ""
    title = f"## `{room.folder}/`\n" if room.folder else "## The run\n"
    return "\n".join(part for part in (title, room.about and f"{room.about}\n", files, *sections) if part)


def _known(groups: tuple) -> Record:
    """The first record with these columns."""
    return next(
        record
        for room in ROOMS
        for record in room.records
        if isinstance(record, Table | Document) and record.groups == groups
    )


def _section(record: Record, note: str) -> str:
    lines = [f"### `{record.path}`{note}\n", f"{record.about}\n"]
    if isinstance(record, Table):
        lines += ["| column | type | meaning |", "|---|---|---|"]
        for group in record.groups:
            kind = group[0].type + "?" * group[0].nullable
            lines.append(f"| {_names(group)} | {kind} | {group[0].meaning} |")
        if record.labels:
            lines.append(f"| `{LABEL}FEATURE` | string? | a column for each feature, its label; null is undecided |")
    elif isinstance(record, Document):
        lines += ["| key | meaning |", "|---|---|"]
        lines += [f"| {_names(group)} | {group[0].meaning} |" for group in record.groups]
    return "\n".join(lines) + "\n"


def _names(group: tuple[Column, ...]) -> str:
    return ", ".join(f"`{column.name}`" for column in group)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
