"""Every competitor asked, and what they answered compared. Records as docs/run-directory.md lists them.

Each competitor owns a folder, whose manifest is written last: one that has answered is not asked again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from inversescope import files
from inversescope.arena.cost import Cost, Memory
from inversescope.arena.measure import RESULTS, Answers, results
from inversescope.arena.method import Competitor, Progress
from inversescope.arena.pairs import PAIRS, pairs
from inversescope.arena.record import SCHEMA, read, rows
from inversescope.arena.study import Setting
from inversescope.errors import UserError
from inversescope.report.arena import write_arena

ANSWERS = "answers.parquet"


def contest(folder: Path, setting: Setting, competitors: Sequence[Competitor], progress: Progress) -> None:
    """Ask every competitor that has not answered yet; then write `results.parquet`, `pairs.parquet` and
    `competitors.json`, and the page and the LaTeX table made from them.

    Raises:
        UserError: the folder holds answers to another question, or a file is not what was written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / files.MANIFEST).unlink(missing_ok=True)
    files.clear(folder)
    for done, competitor in enumerate(competitors):
        own = folder / competitor.name.replace(" ", "-")
        if files.finished(own):
            _require_same(own, files.check(own)["asked"], _asked(setting))
        else:

            def show(part: int, parts: int, note: str, done: int = done, name: str = competitor.name) -> None:
                progress(done, len(competitors), f"{name}: {part}/{parts} {note}")

            progress(done, len(competitors), competitor.name)
            _ask(own, setting, competitor, show)
        progress(done + 1, len(competitors), competitor.name)
    _compare(folder, setting, competitors)


def _asked(setting: Setting) -> dict[str, Any]:
    """What an answer is an answer to."""
    made_from = {step: files.sha256(setting.run.folder / step / files.MANIFEST) for step in ("collect", "verify")}
    return {"seed": setting.seed, "budget": setting.budget, "made_from": made_from}


def _require_same(folder: Path, answered: dict[str, Any], asked: dict[str, Any]) -> None:
    if answered != asked:
        name = next(name for name in asked if answered[name] != asked[name])
        raise UserError(
            f"this folder has answers for another {name.replace('made_from', 'state of the run')}",
            given=asked[name],
            allowed=answered[name],
            remedy=f"another folder (--out), or delete {folder.parent}",
        )


def _ask(folder: Path, setting: Setting, competitor: Competitor, progress: Progress) -> None:
    """Its answers, and what they cost; where it says nothing of a feature at a site, that is its answer."""
    folder.mkdir(exist_ok=True)
    files.clear(folder)
    cost, given, found = Cost(), set[tuple[str, str]](), list[dict[str, Any]]()
    with Memory(setting.run.subject.device) as memory:
        for answer in competitor.answer(setting, folder, cost, progress):
            site = str(answer.site)
            given.add((site, answer.feature.name))
            found += rows(answer.feature, site, answer.bandwidth, answer.shares, answer.sizes)
    for site in map(str, setting.sites):
        for feature in setting.features:
            if (site, feature.name) not in given:
                nothing = np.full((len(feature.targets), len(feature.values)), np.nan)
                found += rows(feature, site, None, nothing, np.full(len(nothing), np.nan))
    cost.memory = memory.bytes if cost.measured else None
    files.write_table(folder / ANSWERS, pa.Table.from_pylist(found, schema=SCHEMA))
    written = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    files.finish(folder, written, asked=_asked(setting), cost=cost.record())


def _compare(folder: Path, setting: Setting, competitors: Sequence[Competitor]) -> None:
    """The tables over all competitors, from their records."""
    targets = len(setting.run.store.inputs("target"))
    methods: dict[str, Answers] = {}
    described = []
    for competitor in competitors:
        own = folder / competitor.name.replace(" ", "-")
        methods[competitor.name] = read(pq.read_table(own / ANSWERS), targets)
        described.append(
            {
                **{"name": competitor.name, "kind": competitor.kind, "supervised": competitor.supervised},
                "sees": competitor.sees,
                **files.read_json(own / files.MANIFEST)["cost"],
            }
        )
    effects, why = _effects(setting.run.folder)
    found = list(results(methods, effects, setting.seed))
    files.write_table(folder / "results.parquet", pa.Table.from_pylist(found, schema=RESULTS))
    compared = pairs(methods, setting.seed)
    files.write_table(folder / "pairs.parquet", pa.Table.from_pylist(compared, schema=PAIRS))
    study = {
        "subject": setting.run.subject.name,
        "task": setting.run.task.name,
        **{"targets": targets, "sites": [str(site) for site in setting.sites]},
        "features": [feature.name for feature in setting.features],
        **{"seed": setting.seed, "budget": setting.budget, "causal": why, "competitors": described},
    }
    files.write_json(folder / "competitors.json", study)
    written = [folder / name for name in ("results.parquet", "pairs.parquet", "competitors.json")]
    files.finish(folder, [*written, *write_arena(folder)], asked=_asked(setting), step="arena")


def _effects(run: Path) -> tuple[dict[tuple[str, str], float], str]:
    """The causal effect of each site and feature, and in words where it is from or why there is none."""
    path = run / "causal" / "effects.parquet"
    if not path.exists():
        return {}, "not measured: this run has no causal/effects.parquet"
    rows = pq.read_table(path, columns=["site", "feature", "effect"]).to_pylist()
    found = {(row["site"], row["feature"]): row["effect"] for row in rows if row["effect"] is not None}
    return found, "effect of causal/effects.parquet: nats by which another label's activation changes the output more"
