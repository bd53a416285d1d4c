"""Run every method on one study and compare their answers. Records: `records.arena`.

Each method owns a folder, whose manifest is written last: a method that is finished is not run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inversescope import files, records
from inversescope.arena.cost import Cost, Memory
from inversescope.arena.measure import Answers, results
from inversescope.arena.method import Method
from inversescope.arena.pairs import pairs
from inversescope.arena.record import read, rows
from inversescope.arena.study import Study
from inversescope.arena.supervised import BUDGETS
from inversescope.cluster import parts
from inversescope.errors import UserError
from inversescope.progress import Progress
from inversescope.report.arena import write_arena
from inversescope.run import locks

ANSWERS = records.arena.ANSWERS.name


def run_methods(folder: Path, study: Study, methods: Sequence[Method], progress: Progress) -> None:
    """Run every method that is not finished; then write `results.parquet`, `pairs.parquet` and
    `methods.json`, and the page and the LaTeX table made from them.

    Raises:
        UserError: the folder holds answers for another seed, budget or run, a file is not what was written, another
            process writes into the folder, or another one has changed the run in the meantime.
    """
    with locks.only_writer(folder):
        _run_methods(folder, study, methods, progress)


def _run_methods(folder: Path, study: Study, methods: Sequence[Method], progress: Progress) -> None:
    (folder / files.MANIFEST).unlink(missing_ok=True)
    files.clear(folder)
    for done, method in enumerate(methods):
        own = folder / method.name.replace(" ", "-")
        if files.finished(own):
            _require_same(own, files.check(own)["study"], _identity(study))
        else:

            def show(step: int, steps: int, note: str = "", done: int = done, name: str = method.name) -> None:
                progress(done, len(methods), f"{name}: {step}/{steps} {note}")

            progress(done, len(methods), method.name)
            _answer(own, study, method, show)
        progress(done + 1, len(methods), method.name)
    _compare(folder, study, methods)


def _identity(study: Study) -> dict[str, Any]:
    """Seed, budget and run that an answer depends on."""
    return {"seed": study.seed, "budget": study.budget, "made_from": study.made_from}


def _require_same(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    if before != now:
        name = next(name for name in now if before[name] != now[name])
        raise UserError(
            f"this folder has answers for another {name.replace('made_from', 'state of the run')}",
            given=now[name],
            allowed=before[name],
            remedy=f"another folder (--out), or delete {folder.parent}",
        )


def _answer(folder: Path, study: Study, method: Method, progress: Progress) -> None:
    """Write a method's answers and their cost; NaN at the sites and features that it leaves out."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():  # of a life that was killed: parts of other draws
        path.unlink()
    cost, answered, answers = Cost(), set[tuple[str, str]](), list[dict[str, Any]]()
    with Memory(study.run.subject.device) as memory:
        for answer in method.answer(study, folder, cost, progress):
            site = str(answer.site)
            answered.add((site, answer.feature.name))
            answers += rows(answer.feature, site, answer.bandwidth, answer.shares, answer.sizes)
    for site in map(str, study.sites):
        for feature in study.features:
            if (site, feature.name) not in answered:
                nothing = np.full((len(feature.targets), len(feature.values)), np.nan)
                answers += rows(feature, site, None, nothing, np.full(len(nothing), np.nan))
    cost.memory = memory.bytes if cost.measured else None
    files.write_table(folder / ANSWERS, records.arena.ANSWERS.of(answers))
    written = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    study.require_same_run()
    parts.end(folder)
    files.finish(folder, written, study=_identity(study), cost=cost.record())


def _compare(folder: Path, study: Study, methods: Sequence[Method]) -> None:
    """The tables over all methods, from their records."""
    targets = len(study.run.store.inputs("target"))
    answers: dict[str, Answers] = {}
    described = []
    for method in methods:
        own = folder / method.name.replace(" ", "-")
        answers[method.name] = read(files.read_table(own / ANSWERS), targets)
        described.append(
            {
                **{"name": method.name, "kind": method.kind, "supervised": method.supervised},
                "sees": method.sees,
                **files.manifest(own)["cost"],
            }
        )
    effects, why = _effects(study.run.folder)
    scores = list(results(answers, effects, study.endings, study.resolutions, study.seed))
    files.write_table(folder / "results.parquet", records.arena.RESULTS.of(scores))
    compared = pairs(answers, study.seed)
    files.write_table(folder / "pairs.parquet", records.arena.PAIRS.of(compared))
    description = {
        "subject": study.run.subject.name,
        "task": study.run.task.name,
        **{"targets": targets, "sites": [str(site) for site in study.sites]},
        "features": [feature.name for feature in study.features],
        **{"seed": study.seed, "budget": study.budget, "longest": BUDGETS * study.budget},
        **{"causal": why, "methods": described},
    }
    files.write_json(folder / records.arena.METHODS.name, records.arena.METHODS.of(description))
    written = [folder / name for name in ("results.parquet", "pairs.parquet", records.arena.METHODS.name)]
    study.require_same_run()
    files.finish(folder, [*written, *write_arena(folder)], study=_identity(study), step="arena")


def _effects(run: Path) -> tuple[dict[tuple[str, str], float], str]:
    """The causal effect of each site and feature, and its origin or the reason of its absence in words."""
    path = run / "causal" / "effects.parquet"
    if not path.exists():
        return {}, "not measured: this run has no causal/effects.parquet"
    rows = files.read_table(path, columns=["site", "feature", "effect"]).to_pylist()
    effects = {(row["site"], row["feature"]): row["effect"] for row in rows if row["effect"] is not None}
    return effects, "effect of causal/effects.parquet: nats by which another label's activation changes the output more"
