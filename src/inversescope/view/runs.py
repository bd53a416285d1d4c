"""Runs that the viewer shows, by id, and their records as the page has them. Reads files; runs nothing of a run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from inversescope import __version__, files, records
from inversescope.errors import UserError
from inversescope.records.levels import finest_first, level, read_levels
from inversescope.run.plots import Plots
from inversescope.run.sealed import CONFIG, PROVENANCE, RESOLVED, check_config, read_provenance, read_resolved
from inversescope.sites import Site
from inversescope.verdicts import NULL_FEATURE, wording

STEPS = tuple(room.folder for room in records.ROOMS if room.folder and not room.on_request)
CHARTS = ("overview", "layers")
TARGETS = 500  # listed in the page
_SCORE = ("corrected", "corrected_low", "corrected_high", "q_value", "trusted", "null_passes")
_METHODS = ("weighted", "reference")  # the first that is there stands for a site


def identified(folders: Sequence[Path]) -> dict[str, Path]:
    """The folders by ids that hold no path."""
    return {hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:10]: folder for folder in folders}


def found_in(folder: Path) -> list[Path]:
    """The runs in a folder, the newest first."""
    runs = [path for path in folder.iterdir() if (path / RESOLVED).is_file()] if folder.is_dir() else []
    return sorted(runs, key=lambda path: -(path / RESOLVED).stat().st_mtime)


def require_run(folder: Path) -> dict[str, Any]:
    """Provenance of a run of this version.

    Raises:
        UserError: it is no run, one of another version, or damaged.
    """
    for name in (CONFIG, PROVENANCE, RESOLVED):
        if not (folder / name).exists():
            raise UserError(
                "this is not a run directory", given=f"{folder} (no {name})", remedy="inversescope run CONFIG --out RUN"
            )
    recorded = read_provenance(folder)
    if recorded["inversescope"] != __version__:
        raise UserError(
            "the run was made by another version of InverseScope",
            given=f"{folder}: version {recorded['inversescope']}",
            allowed=f"version {__version__}",
        )
    check_config(folder)
    return recorded


def line(run: str, folder: Path) -> dict[str, Any]:
    """One run of the list: its state, and its headline if it has one; or the reason why it cannot be shown."""
    try:
        provenance, resolved = require_run(folder), read_resolved(folder)
        steps = _steps(resolved)
        done = [step for step in steps if files.finished(folder / step)]
        headline = records.causal.HEADLINE.path
        return {
            "id": run,
            "name": folder.name,
            "model": provenance["subject"]["name"],
            "task": resolved["task"].get("name"),
            "sites": len(resolved["generator"]["sites"]),
            "started": provenance["started"][:10],
            "done": len(done) == len(steps),
            "next": next((step for step in steps if step not in done), None),
            "trained": "train" in done and bool(resolved["generator"]["sites"]),
            "headline": _json(folder, headline)["sentence"] if "causal" in done else None,
            "problem": None,
        }
    except UserError as error:
        return {"id": run, "name": folder.name, "problem": str(error)}


def overview(run: str, folder: Path) -> dict[str, Any]:
    """Everything of a run that the page shows at once: headline, scores of every site, levels, provenance.

    Raises:
        UserError: the run cannot be shown.
    """
    provenance, resolved = require_run(folder), read_resolved(folder)
    served = set(resolved["generator"]["sites"])
    done = {step: files.finished(folder / step) for step in _steps(resolved)}
    scores = _rows(folder, records.score.RESULTS) if done["score"] else []
    levels = read_levels(folder) if done["reference"] else {}
    return files.plain(
        {
            **line(run, folder),
            "headline": _json(folder, records.causal.HEADLINE.path) if done["causal"] else None,
            "steps": [[step, finished] for step, finished in done.items()],
            "sites": _sites(resolved["collect"]["sites"], served),
            "features": [name for name in dict.fromkeys(r["feature"] for r in scores) if name != NULL_FEATURE],
            "levels": finest_first(scores),
            "by_resolution": any(row["resolution"] is not None for row in scores),
            "levels_of_site": {
                str(site): [[each.resolution, each.bandwidth] for each in of_site]
                for site, of_site in levels.items()
                if str(site) in served
            },
            "scores": _scores(scores),
            "calibration": _calibration(folder) if done["calibrate"] else [],
            "used": _used(folder) if done["causal"] else [],
            "hypotheses": _hypotheses(folder) if done["mine"] else [],
            "targets": targets_of(folder) if done["collect"] else [],
            "sampled": done["verify"],
            "provenance": {name: value for name, value in _flat(provenance).items() if not name.startswith("config")},
        }
    )


def _steps(resolved: dict[str, Any]) -> list[str]:
    """The steps that this run has: natural text is one where the config wants it."""
    return [step for step in STEPS if step != "text" or resolved.get("text", {}).get("sites")]


def chart(folder: Path, name: str) -> dict[str, Any]:
    """The specification of a chart, with its values: `overview`, or `layers` of the headline's feature, else the first.

    Raises:
        UserError: there is no such chart, or the run is not finished.
    """
    require_run(folder)
    plots = Plots(folder)
    if name == CHARTS[0]:
        return plots.overview().spec
    if name == CHARTS[1]:
        features = [row["feature"] for row in _rows(folder, records.score.RESULTS) if row["feature"] != NULL_FEATURE]
        return plots.layers(_json(folder, records.causal.HEADLINE.path)["feature"] or features[0]).spec
    raise UserError("there is no such chart", given=name[:80], allowed=", ".join(CHARTS))


def reported(shown: dict[str, Any]) -> bool:
    """True where the run of an overview has its report."""
    return dict(shown["steps"])["report"]


def _sites(addresses: Sequence[str], served: set[str]) -> list[dict[str, Any]]:
    """Each site with its place in the grid."""
    sites = [Site.parse(address) for address in addresses]
    return [place(site, served=str(site) in served) for site in sorted(sites, key=lambda site: site.depth)]


def place(site: Site, *, served: bool) -> dict[str, Any]:
    """A site with its place in the grid; `served` where it can be inverted."""
    return {"site": str(site), "series": site.series, "layer": site.layer, "head": site.head, "served": served}


def _scores(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, dict[str, list[Any]]]]:
    """The score by site, level and feature: value, its interval, q, and whether it is to be trusted."""
    found: dict[str, dict[str, dict[str, list[Any]]]] = {}
    for method in reversed(_METHODS):  # the later one stands in the place of the earlier
        for row in rows:
            if row["method"] == method and row["feature"] != NULL_FEATURE and row["corrected"] is not None:
                at = found.setdefault(row["site"], {}).setdefault(f"{level(row):g}", {})
                at[row["feature"]] = [_short(row[name]) for name in _SCORE]
    return found


def _short(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def _calibration(folder: Path) -> list[dict[str, Any]]:
    names = ("site", "resolution", "bandwidth", "query", "kl", "verdict", "reason")
    return [{name: row[name] for name in names} for row in _rows(folder, records.calibrate.CALIBRATION)]


def _used(folder: Path) -> list[dict[str, Any]]:
    names = ("site", "feature", "corrected", "necessity", "sufficiency", "verdict", "reason")
    return [{name: row[name] for name in names} for row in _rows(folder, records.causal.USED)]


def _hypotheses(folder: Path) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in row.items() if isinstance(value, str | int | float | None)}
        for row in _rows(folder, records.mine.HYPOTHESES)
    ]


def targets_of(folder: Path, most: int | None = TARGETS) -> list[dict[str, Any]]:
    """The targets with their labels, the first of them."""
    path = folder / records.collect.INPUTS.path
    rows = read(path, pc.field("split") == "target").to_pylist()[:most]
    return [
        {
            "row": row["row"],
            "text": row["text"],
            "shown": wording.visible(row["text"]),
            "labels": {k.removeprefix(records.LABEL): v for k, v in row.items() if k.startswith(records.LABEL)},
        }
        for row in rows
    ]


def _rows(folder: Path, record: records.Table) -> list[dict[str, Any]]:
    return read(folder / record.path, None).to_pylist()


def read(path: Path, wanted: pc.Expression | None) -> pa.Table:
    """Rows of a record, those that are wanted; None: all.

    Raises:
        UserError: it is damaged, or not there.
    """
    try:
        return files.read_table(path, filters=wanted)
    except (pa.ArrowException, OSError) as error:
        raise UserError("a record of this run cannot be read", given=f"{path}: {error}"[:400]) from error


def _json(folder: Path, path: str) -> dict[str, Any]:
    return files.read_json(files.verified(folder / path))


def _flat(value: Any, before: str = "") -> dict[str, Any]:
    """Nested keys joined by points."""
    if not isinstance(value, dict):
        return {before: ", ".join(map(str, value)) if isinstance(value, list) else value}
    found: dict[str, Any] = {}
    for name, item in value.items():
        found |= _flat(item, f"{before}.{name}" if before else name)
    return found
