"""Commands that make a run and do its steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from inversescope.cli.configs import read_config, shipped
from inversescope.cli.shared import Resume, RunFolder, app, interruptible, screen
from inversescope.cli.working import STEPS, do, open_run, show, work
from inversescope.errors import UserError


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Where the run goes.")] = Path("runs/demo"),
    resume: Resume = False,
    print_config: Annotated[bool, typer.Option("--print-config", help="Print the demo's config and stop.")] = False,
) -> None:
    """Explain activations of the bundled subject on indirect object identification, and write a report.

    A finished demo is not run again: the report's path is printed.
    """
    config = shipped()["demo"]
    if print_config:
        typer.echo(config, nl=False)
        return
    resume = resume or (out / "config.toml").exists()
    work(out, config, resume=resume, until="report")


@app.command()
def run(
    config: Annotated[
        Path,
        typer.Argument(metavar="CONFIG", help="A TOML file, or one that ships with InverseScope, by its name: `ioi`."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Where the run goes; default: runs/NAME of the config.")
    ] = None,
    resume: Resume = False,
    until: Annotated[str, typer.Option("--until", help=f"Stop after this step: {', '.join(STEPS)}.")] = "report",
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Start nothing: say what disk and memory the whole run will need. The model's weights need not "
            "be here, and are not downloaded.",
        ),
    ] = False,
) -> None:
    """Do every step of a config. Killed at any moment, it goes on with --resume and ends with the same numbers."""
    if until not in STEPS:
        raise UserError("there is no such step", given=until, allowed=", ".join(STEPS))
    if dry_run:
        _show_needs(config)
        return
    work(out or Path("runs") / config.stem, read_config(config), resume=resume, until=until)


def _show_needs(config: Path) -> None:
    text = read_config(config)
    with screen.status("drawing the inputs, and measuring this machine"):
        from inversescope.cli.tables.needs import needs_table
        from inversescope.plan.needs import needs

        found = needs(text, str(config))
    Console(highlight=False).print(needs_table(found))


@app.command()
def init(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A TOML file.")],
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that does not exist or is empty.")],
) -> None:
    """Make a run directory, to do its steps one by one."""
    open_run(folder, read_config(config), resume=False)
    screen.print(f"made {folder}; next: inversescope task {folder}", soft_wrap=True)


@app.command()
def extend(
    run: RunFolder,
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The run's config, asking for more.")],
) -> None:
    """Ask a run for more inputs or more sites. What is collected is kept; `collect` then reads what is missing."""
    text = read_config(config)
    with screen.status("loading the subject"):
        from inversescope.run.extend import extend

        extend(run, text)
    screen.print(f"extended {run}; next: inversescope collect {run}", soft_wrap=True)


def _step_command(step: str) -> Callable[[Path], None]:
    def command(run: RunFolder) -> None:
        with interruptible(f"start the step again: inversescope {step} {run}"):
            from inversescope.run.run import Run

            opened = Run.open(run)
            if opened.finished(step):
                screen.print(f"step {step} is done already; to do it again, delete {run / step}", soft_wrap=True)
            else:
                do(opened, step)
            show(run, step)

    command.__doc__ = STEPS[step]
    return command


for _name in STEPS:
    app.command(_name, rich_help_panel="One step of a run")(_step_command(_name))
