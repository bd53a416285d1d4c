"""Model card of a shared inverter, made from the records of its run."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from inversescope import __version__, files, records
from inversescope.run.run import Run
from inversescope.run.sealed import read_provenance
from inversescope.verdicts.wording import number

CARD = "README.md"
_UNKNOWN = "not stated"


def model_card(run: Run, store: bool, licence: str | None, size: int) -> str:
    """The card as Markdown, with the front matter that the hub reads; `size` of the folder in bytes."""
    made_by, subject = read_provenance(run.folder), run.config.subject
    name = Path(made_by["subject"]["name"]).name if Path(subject.model).exists() else made_by["subject"]["name"]
    parts = [
        _front_matter(licence, subject.model),
        f"# Inverter of {name}\n\n"
        "Draws inputs that produce an activation of this model, with importance weights; every draw is verified by "
        f"running the model. Made by InverseScope {__version__}.\n",
        _section(
            "Model that is read",
            [
                f"name: `{name}`{f', revision {subject.revision}' if subject.revision else ''}",
                f"SHA-256 of its weights: `{made_by['subject']['fingerprint']}`; another model is refused",
                f"precision: {made_by['dtype']}; tokens before every input: {made_by['subject']['prefix']}",
            ],
        ),
        _section("Prior: the inputs that every answer is relative to", _prior(run, licence)),
        _section("Sites, resolutions and diagnostics", [], _sites(run)),
        _section("Comparison with the reference", _calibration(run)),
        _section("What is in this folder", _contents(run, store, size)),
        _use(),
    ]
    return "\n".join(parts)


def _front_matter(licence: str | None, model: str) -> str:
    lines = ["tags: [inversescope, interpretability]", *([f"license: {licence}"] if licence else [])]
    if "/" in model and not Path(model).exists():
        lines.append(f"base_model: {model}")
    return "\n".join(["---", *lines, "---", ""])


def _section(title: str, lines: list[str], table: str = "") -> str:
    return "\n".join([f"## {title}", "", *(f"- {line}" for line in lines), *([table] if table else []), ""])


def _prior(run: Run, licence: str | None) -> list[str]:
    task = {name: value for name, value in run.config.task.model_dump(mode="json").items() if value is not None}
    table = files.read_table(run.folder / records.collect.INPUTS.path, columns=["split"])
    counts = Counter(table["split"].to_pylist())
    read = ", ".join(f"{count} in `{split}`" for split, count in sorted(counts.items()))
    return [
        f"task: `{json.dumps(task, ensure_ascii=False)}`",
        f"inputs that were read: {read}; an activation outside of them is named as such",
        f"licence of the inputs: {licence or _UNKNOWN}",
    ]


def _sites(run: Run) -> str:
    """A table of every level of the generator's sites, with the diagnostics of the run's targets where they exist."""
    path = run.folder / records.score.DIAGNOSTICS.path
    rows = files.read_table(path).to_pylist() if path.exists() else []
    measured = {(row["site"], row["bandwidth"]): row for row in rows}
    lines = [
        "| site | resolution | h | effective sample size | median δ | of the reference |",
        "|---|---|---|---|---|---|",
    ]
    for site in map(str, run.sites["train"]):
        for level in next(levels for name, levels in run.levels.items() if str(name) == site):
            row: dict[str, Any] = measured.get((site, level.bandwidth), {})
            shown = (number(row.get(name)) for name in ("ess", "median_distance", "reference_median_distance"))
            resolution = "" if level.resolution is None else f"1 in {level.resolution:g}"
            lines.append(f"| {site} | {resolution} | {level.bandwidth:.3g} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _calibration(run: Run) -> list[str]:
    """Counts of the verdicts on the generator; the sites and levels at which it is not calibrated."""
    path = run.folder / records.calibrate.CALIBRATION.path
    if not path.exists():
        return ["the generator was not compared with a reference"]
    rows = [row for row in files.read_table(path).to_pylist() if row["query"] == "clean"]
    counts = Counter(row["verdict"] for row in rows)
    others = [row for row in rows if row["verdict"] not in ("calibrated", "cannot tell")]
    return [
        f"verdicts over {len(rows)} sites and levels: {', '.join(f'{word} {n}' for word, n in counts.items())}",
        *(f"{row['site']} at h = {row['bandwidth']:.3g}: {row['verdict']} ({row['reason']})" for row in others),
    ]


def _contents(run: Run, store: bool, size: int) -> list[str]:
    description = files.read_json(files.verified(run.folder / records.train.GENERATOR.path))
    missing = (
        "no activations of the pool: the model reads it again, once, when the inverter is first used. Without them the "
        "run cannot be extended, trained further, or scored again"
    )
    return [
        f"{size / 1e6:.0f} MB of safetensors, Parquet, JSON and TOML: nothing that can hold code",
        f"the generator, with the activations of its {description['stored']} stored inputs, for its neighbour model",
        "the inputs that were read, as tokens, texts and labels",
        "the activations of these inputs" if store else missing,
    ]


def _use() -> str:
    return """## Use

```python
from inversescope import Inverter

inverter = Inverter.load("owner/name")  # or this folder
inverter.invert("a text of the prior", site=inverter.sites[-1])
```
"""
