"""Every question about every target asked with other activations at every site, and the metric from the answers.

A site is a part: what is there after an interruption is kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float
from torch import Tensor

from inversescope import files
from inversescope.causal import Label, World
from inversescope.disentangle.asking import Asked
from inversescope.disentangle.metric import MATCHED, RUNS, results
from inversescope.disentangle.sources import Intervention, Sources
from inversescope.errors import UserError
from inversescope.run_directory import RunDirectory
from inversescope.sites import Site
from inversescope.subject.patching import unsettable
from inversescope.tasks import AskingTask, Task

FOLDER, BEGUN = "disentangle", "begun.json"
Progress = Callable[[int, int, str], None]


def disentangle(run: RunDirectory, progress: Progress) -> Path:
    """Write the folder `disentangle` of a verified run, from where an interruption left it, and give back its path.

    Raises:
        UserError: the run is not verified, its task asks no questions, the subject answers none of them, or the folder
            stands on other samples.
    """
    folder, task = run.folder / FOLDER, _asking(run.task)
    made_from = _made_from(run)
    folder.mkdir(exist_ok=True)
    files.clear(folder)
    if (folder / BEGUN).exists():
        _require_same(folder, made_from)
        if files.finished(folder):
            files.check(folder)
            return folder
    files.write_json(folder / BEGUN, made_from)
    config = run.config
    bandwidth = config.causal.bandwidth or max(config.sample.bandwidths)
    world = World(run.folder, run.store, run.subject, _labels(run.task, list(task.answers)), run.task.contrast)
    reasons = {site: unsettable(run.subject, site) for site in run.sites["train"]}
    sites = [site for site, reason in reasons.items() if reason is None]
    sources = Sources(world, config.causal, bandwidth, config.seed)
    questions = Questions(world, task, sources.targets, progress)
    own = questions.activations(sites)
    parts, total = [], len(sites) * sources.targets
    for number, site in enumerate(sites):
        path = folder / f"part-{number:05d}.parquet"
        if not path.exists():
            rows: list[dict[str, Any]] = []
            for target in range(sources.targets):
                rows += _rows(world, site, target, sources, questions.right[target], own[site])
                progress(number * sources.targets + target + 1, total, "sites x targets")
            files.write_table(path, pa.Table.from_pylist(rows, schema=RUNS))
        parts.append(pq.read_table(path))
        progress((number + 1) * sources.targets, total, "sites x targets")
    runs = pa.concat_tables(parts) if parts else RUNS.empty_table()
    found, isolation = results(runs.to_pylist(), list(task.answers), bandwidth)
    left_out = {str(site): reason for site, reason in reasons.items() if reason is not None}
    files.write_table(folder / "runs.parquet", runs)
    files.write_table(folder / "results.parquet", found)
    files.write_table(folder / "isolation.parquet", isolation)
    files.write_json(folder / "questions.json", questions.counts | {"bandwidth": bandwidth, "left_out": left_out})
    files.finish(folder, [path for path in sorted(folder.iterdir()) if path.is_file()], made_from=made_from)
    return folder


class Questions:
    """The questions about each target that the subject answers right as it is; only these count.

    Attributes:
        right: of each target, the questions with their right answers.
        counts: how many there are, and how many of them are answered right, by attribute.
    """

    def __init__(self, world: World, task: AskingTask, targets: int, progress: Progress):
        inputs = world.store.inputs("target").tokens[:targets]
        known: dict[str, tuple[Asked, bool]] = {}
        self.right: list[list[Asked]] = []
        counts = {attribute: {"questions": 0, "right": 0} for attribute in task.answers}
        for number, tokens in enumerate(inputs):
            kept = []
            for question in task.questions(tokens):
                if question.prompt not in known:
                    if not Asked.possible(world.subject, question):
                        continue
                    asked = Asked(world.subject, question, task.answers[question.attribute])
                    known[question.prompt] = asked, asked.answers([{}])[0] == world.labels[question.attribute](tokens)
                asked, right = known[question.prompt]
                counts[question.attribute]["questions"] += 1
                counts[question.attribute]["right"] += right
                kept += [asked] if right else []
            self.right.append(kept)
            progress(number + 1, len(inputs), "targets asked as they are")
        if not any(self.right):
            raise UserError(
                "the subject answers no question about a target right, so there is nothing to change",
                given=", ".join(f"{name}: 0 of {count['questions']}" for name, count in counts.items()),
                remedy="another subject, or entities that it knows",
            )
        self.counts: dict[str, Any] = {"targets": len(inputs), "attributes": counts}
        self._world = world

    def activations(self, sites: Sequence[Site]) -> dict[Site, dict[Asked, Float[Tensor, " d"]]]:
        """Of each site and question its own activation, at the entity's last token."""
        asked = list(dict.fromkeys(question for kept in self.right for question in kept))
        read = self._world.subject.capture([question.before for question in asked], sites).activations
        return {site: dict(zip(asked, read[site], strict=True)) for site in sites}


def _rows(
    world: World,
    site: Site,
    target: int,
    sources: Sources,
    questions: Sequence[Asked],
    own: Mapping[Asked, Float[Tensor, " d"]],
) -> Iterator[dict[str, Any]]:
    """The rows of `runs.parquet` of one site and target."""
    base = world.store.inputs("target").tokens[target]
    interventions = list(sources.of(site, target))
    changes = list(dict.fromkeys(intervention.change for intervention in interventions))
    given = {}
    for question in questions:
        patches = [{site: sources.vector(site, change, own[question])} for change in changes]
        given |= {(change, question): answer for change, answer in zip(changes, question.answers(patches), strict=True)}
    grouped: defaultdict[tuple[str, str], list[Intervention]] = defaultdict(list)
    for intervention in interventions:
        grouped[intervention.method, intervention.attribute].append(intervention)
    for (method, attribute), group in grouped.items():
        for asked, label in world.labels.items():
            answers = [
                (given[intervention.change, question], label(intervention.source))
                for intervention in group
                if asked == attribute
                or method in MATCHED.values()
                or label(intervention.source) not in (None, label(base))
                for question in questions
                if question.attribute == asked
            ]
            if answers:
                yield {
                    **{"site": str(site), "method": method, "attribute": attribute, "asked": asked, "target": target},
                    "pairs": len(answers),
                    "source": sum(answer == value for answer, value in answers) / len(answers),
                    "base": sum(answer == label(base) for answer, _ in answers) / len(answers),
                }


def _labels(task: Task, attributes: Sequence[str]) -> dict[str, Label]:
    return {name: lambda tokens, name=name: task.labels(tokens)[name] for name in attributes}


def _asking(task: Any) -> AskingTask:
    if not hasattr(task, "questions"):
        raise UserError(
            "this run's task asks no questions about what an input ends with",
            given=f"task {task.name!r}",
            allowed="a task with `answers` and `questions`, such as cities and ravel",
            remedy="a run of one of these, or give the task both (docs/add-a-task.md)",
        )
    return task


def _made_from(run: RunDirectory) -> dict[str, str]:
    """The manifests of the steps that it stands on, by their hashes."""
    for step in ("collect", "verify"):
        if not files.finished(run.folder / step):
            raise UserError(
                f"step {step} of this run is not done", given=run.folder, remedy=f"inversescope {step} {run.folder}"
            )
    return {step: files.sha256(run.folder / step / files.MANIFEST) for step in ("collect", "verify")}


def _require_same(folder: Path, made_from: Mapping[str, str]) -> None:
    before = files.read_json(folder / BEGUN)
    if before != made_from:
        step = next(step for step in made_from if before.get(step) != made_from[step])
        raise UserError(
            f"step {step} was done again with another result, and this folder stands on the old one",
            given=f"{step} {made_from[step][:16]}",
            allowed=f"{step} {before.get(step, 'none')[:16]}",
            remedy=f"delete the folder {folder}",
        )
