"""Answers to every question about every target with other activations at every site, and the metric from them.

Each site is one part: parts that are there after an interruption are kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float
from torch import Tensor

from inversescope import files, records
from inversescope.causal.donors import CausalData, Label
from inversescope.cluster import parts
from inversescope.disentangle.interventions import Change, Intervention, Interventions
from inversescope.disentangle.metric import MATCHED, SHUFFLED, results
from inversescope.disentangle.questions import Query, Questions
from inversescope.errors import UserError
from inversescope.progress import Progress
from inversescope.records.levels import pick
from inversescope.run import locks
from inversescope.run.run import Run
from inversescope.sites import Site
from inversescope.subject.patching import unsettable
from inversescope.tasks import AskingTask, Task

FOLDER, BEGUN = "disentangle", "begun.json"


def disentangle(run: Run, progress: Progress) -> Path:
    """Write the folder `disentangle` of a verified run, from where an interruption left it, and give back its path.

    Raises:
        UserError: the run is not verified, its task asks no questions, the subject answers none of them, the folder
            stands on other samples, or another process writes into the run.
    """
    run.require_generator()
    with locks.only_writer(run.folder):
        return _disentangle(run, progress)


def _disentangle(run: Run, progress: Progress) -> Path:
    folder, task = run.folder / FOLDER, _with_questions(run.task)
    if _finished(folder, _made_from(run)):
        return folder
    config = run.config
    levels = {
        site: pick(run.levels[site], config.causal.resolution, config.causal.bandwidth) for site in run.sites["train"]
    }
    data = CausalData(run.folder, run.store, run.subject, _labels(run.task, list(task.answers)), run.task.contrast)
    reasons = {site: unsettable(run.subject, site) for site in run.sites["train"]}
    interventions = Interventions(data, levels, config.seed)
    questions = Questions(data, task, interventions.targets, progress)
    settable = [site for site, reason in reasons.items() if reason is None]
    runs = _runs(folder, data, settable, interventions, questions, progress)
    scores, isolation = results(runs.to_pylist(), list(task.answers), levels)
    files.write_table(folder / "runs.parquet", runs)
    files.write_table(folder / "results.parquet", scores)
    files.write_table(folder / "isolation.parquet", isolation)
    left_out = {str(site): reason for site, reason in reasons.items() if reason is not None}
    counted = questions.counts | {"left_out": left_out}
    files.write_json(folder / "questions.json", records.disentangle.QUESTIONS.of(counted))
    written = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    files.finish(folder, written, made_from=_made_from(run))
    parts.end(folder)
    return folder


def _runs(
    folder: Path,
    data: CausalData,
    sites: Sequence[Site],
    interventions: Interventions,
    questions: Questions,
    progress: Progress,
) -> pa.Table:
    """The rows of `runs.parquet`; parts of sites that were run before are kept."""
    own, targets, pieces = questions.activations(sites), interventions.targets, []
    for number, site in enumerate(sites):
        path = folder / f"part-{number:05d}.parquet"
        if not parts.kept(path):
            rows: list[dict[str, Any]] = []
            for target in range(targets):
                rows += _rows(data, site, target, interventions, questions.right[target], own[site])
                progress(number * targets + target + 1, len(sites) * targets, "sites x targets")
            files.write_table(path, records.disentangle.RUNS.of(rows))
            parts.keep(path)
        pieces.append(pq.read_table(path))
        progress((number + 1) * targets, len(sites) * targets, "sites x targets")
    return pa.concat_tables(pieces) if pieces else records.disentangle.RUNS.of([])


def _rows(
    data: CausalData,
    site: Site,
    target: int,
    interventions: Interventions,
    questions: Sequence[Query],
    own: Mapping[Query, Float[Tensor, " d"]],
) -> Iterator[dict[str, Any]]:
    """The rows of `runs.parquet` of one site and target."""
    base = data.store.inputs("target").tokens[target]
    grouped: defaultdict[tuple[str, str], list[Intervention]] = defaultdict(list)
    for intervention in interventions.of(site, target):
        grouped[intervention.method, intervention.attribute].append(intervention)
    answers = _answers(site, {one.change for group in grouped.values() for one in group}, interventions, questions, own)
    for (method, attribute), group in grouped.items():
        for about_attribute, label in data.labels.items():
            if method == SHUFFLED and about_attribute != attribute:
                continue  # chance is measured for Cause alone
            chosen = group
            if about_attribute != attribute and method not in MATCHED.values():
                chosen = [one for one in group if label(one.source) not in (None, label(base))]
            about = [question for question in questions if question.attribute == about_attribute]
            pairs = [(answers[one.change, question], label(one.source)) for one in chosen for question in about]
            if pairs:
                yield {
                    "site": str(site),
                    "method": method,
                    "attribute": attribute,
                    "asked": about_attribute,
                    "target": target,
                    "pairs": len(pairs),
                    "source": sum(answer == value for answer, value in pairs) / len(pairs),
                    "base": sum(answer == label(base) for answer, _ in pairs) / len(pairs),
                }


def _answers(
    site: Site,
    changes: Collection[Change],
    interventions: Interventions,
    questions: Sequence[Query],
    own: Mapping[Query, Float[Tensor, " d"]],
) -> dict[tuple[Change, Query], str | None]:
    """The answer to each question after each change at a site."""
    answers = {}
    for question in questions:
        given = question.answers([{site: interventions.vector(site, change, own[question])} for change in changes])
        answers |= {(change, question): answer for change, answer in zip(changes, given, strict=True)}
    return answers


def _labels(task: Task, attributes: Sequence[str]) -> dict[str, Label]:
    return {name: lambda tokens, name=name: task.labels(tokens)[name] for name in attributes}


def _with_questions(task: Any) -> AskingTask:
    if not hasattr(task, "questions"):
        raise UserError(
            "this run's task asks no questions about what an input ends with",
            given=f"task {task.name!r}",
            allowed="a task with `answers` and `questions`, such as cities and ravel",
            remedy="a run of one of these, or give the task both (docs/add-a-task.md)",
        )
    return task


def _made_from(run: Run) -> dict[str, str]:
    """Hashes of the manifests of the steps it depends on."""
    for step in ("collect", "verify"):
        if not files.finished(run.folder / step):
            raise UserError(
                f"step {step} of this run is not done",
                given=run.folder,
                remedy=f"inversescope step {run.folder} {step}",
            )
    return files.states(run.folder, "collect", "verify")


def _finished(folder: Path, made_from: Mapping[str, str]) -> bool:
    """True if everything is written. Else begin the folder, or go on with one begun on the same samples."""
    folder.mkdir(exist_ok=True)
    files.clear(folder)
    before = files.read_sealed(folder / BEGUN) if (folder / BEGUN).exists() else made_from
    if before != made_from:
        step = next(step for step in made_from if before.get(step) != made_from[step])
        raise UserError(
            f"step {step} was done again with another result, and this folder stands on the old one",
            given=f"{step} {made_from[step][:16]}",
            allowed=f"{step} {before.get(step, 'none')[:16]}",
            remedy=f"delete the folder {folder}",
        )
    if files.finished(folder):
        files.check(folder)
        return True
    files.write_sealed(folder / BEGUN, made_from)
    return False
