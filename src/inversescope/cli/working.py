"""The steps of a run on the terminal, and the tables that follow them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from inversescope.cli.answers import print_answers
from inversescope.cli.cluster import Cluster
from inversescope.cli.shared import interruptible, screen
from inversescope.errors import UserError

if TYPE_CHECKING:
    from inversescope.run.run import Run

HERE = Cluster()
STEPS = {
    "task": "Measure the accuracy of the model at the task; stop if it is too low.",
    "collect": "Draw inputs from the prior and store their activations.",
    "reference": "Compute the distances between pool and targets, for scores without a generator.",
    "train": "Train the generator, from its last checkpoint if there is one.",
    "calibrate": "Compare the generator with the exact posterior or the reference; give a verdict for each site.",
    "sample": "Draw samples from the generator for every target, site and bandwidth.",
    "verify": "Run every sample through the model: distance, weight, acceptance.",
    "score": "Score every feature: FCR, chance, corrected score, bits, calibration gap, controls.",
    "mine": "Search hypotheses on half of the targets; confirm the best ones on the other half.",
    "causal": "Replace activations of the source inputs, to see if the model uses what a site encodes.",
    "text": "Invert the targets into natural text, beside stored inputs, where the config names sites for it.",
    "report": "Write the report: one HTML file that works offline.",
}


def work(
    folder: Path,
    config: str,
    name: str,
    start: Path,
    *,
    resume: bool,
    until: str,
    allow_code: bool = False,
    cluster: Cluster = HERE,
) -> None:
    """Do what is left of a run up to a step, and show what there is; `name` stands for the config in messages, and its
    relative paths begin at `start`.
    """
    if resume and is_finished(folder):
        require_same_config(folder, config)
        check(folder)
        screen.print("this run is finished: nothing is left to do")
        show(folder, "report")
        return
    with interruptible(f"go on with --resume (folder {folder})"):
        from inversescope.run.locks import only_writer

        run = open_run(folder, config, name, start, resume, allow_code)
        with only_writer(folder), cluster.of(run):  # from one step to the next, too
            asked = [*itertools.takewhile(lambda step: step != until, STEPS), until]
            left = [step for step in asked if not run.finished(step)]
            for step in left:
                do(run, step)
            if not left:
                screen.print(f"nothing is left to do up to step {until}")
    show(folder, until)


def open_run(folder: Path, config: str, name: str, start: Path, resume: bool, allow_code: bool) -> Run:
    """The run in this folder, new or resumed. One of which nothing is done may be started anew with another config."""
    with screen.status("starting"):
        from inversescope.run.run import Run
        from inversescope.run.sealed import nothing_done

    if resume and (folder / "resolved.json").exists() and not nothing_done(folder):
        require_same_config(folder, config)
        return Run.open(folder, allow_code=allow_code)
    with screen.status("loading the subject (the first time, the bundled model is converted: half a minute)"):
        return Run.create(folder, config, name, start, allow_code=allow_code)


def is_finished(folder: Path) -> bool:
    from inversescope import files

    return all(files.finished(directory) for directory in (folder, *(folder / step for step in STEPS)))


def check(folder: Path) -> None:
    """Compare every file of a finished run with its hash."""
    from inversescope import files
    from inversescope.run.sealed import read_provenance

    read_provenance(folder)
    for directory in (folder, *(folder / step for step in STEPS)):
        files.check(directory)


def require_same_config(folder: Path, config: str) -> None:
    from inversescope.config import deciding
    from inversescope.run.sealed import CONFIG, check_config

    if not (folder / CONFIG).exists():
        return  # a run without it cannot be opened, and that says so
    check_config(folder)
    before = (folder / CONFIG).read_bytes().decode()
    if before != config and deciding(before, str(folder / CONFIG)) != deciding(config, "CONFIG"):
        raise UserError(
            "the run in this folder was started with another config",
            given=folder / CONFIG,
            remedy=f"the config as it was, another folder for the new one, or inversescope extend {folder} CONFIG "
            "if only inputs or sites are added",
        )


def show(folder: Path, step: str) -> None:
    """Output of a run after a step: its scores, and where the report is."""
    from inversescope.cli.tables import runs

    tables = {
        "collect": runs.noise_line,
        "reference": runs.outside_line,
        "calibrate": runs.verdict_table,
        "causal": runs.causal_table,
        "mine": runs.hypotheses_table,
    }
    if step in tables:
        print_answers(tables[step](folder))
    if step == "score":
        print_answers(runs.summary_table(folder))
    if step == "report":
        headline = runs.headline(folder)
        print_answers(runs.summary_table(folder, headline["site"]))
        print_answers(runs.headline_lines(headline))
        screen.print(f"report: {folder / 'report' / 'report.html'}", soft_wrap=True)


def do(run: Run, step: str) -> None:
    from inversescope.cli.progress import shown

    with shown(step, screen) as progress:
        run.do(step, progress)
    if step == "task":
        show_reading(run.folder)


def show_reading(folder: Path) -> None:
    """Print the fate of the rows of a file of texts or of the documents of a corpus; nothing for other tasks."""
    from inversescope.cli.tables.runs import reading

    texts = reading(folder)
    for note in texts.get("notes", ()):
        screen.print(note, soft_wrap=True, markup=False, style="yellow" if note == texts.get("cut") else None)


def refresh_report(folder: Path) -> None:
    """Write the report of a finished run again, with what is new."""
    from inversescope import files

    if files.finished(folder):
        from inversescope.run.run import Run

        Run.open(folder).do("report")
