"""Commands that start a run, do its steps, and extend it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inversescope.cli.answers import print_answers
from inversescope.cli.cluster import Cluster, ClusterAddress, Gpus, Mixed, Threads, WorkerCount
from inversescope.cli.configs import read_config, shipped, start
from inversescope.cli.shared import AllowCode, Resume, RunFolder, app, interruptible, screen
from inversescope.cli.working import STEPS, do, show, work
from inversescope.errors import UserError

if TYPE_CHECKING:
    from inversescope.config import ClusterConfig

STEP_LIST = "\n\n".join(f"* `{step}`: {words}" for step, words in STEPS.items())


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder of the run.")] = Path("runs/demo"),
    resume: Resume = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the config of the demo, and run nothing.")
    ] = False,
) -> None:
    """Explain activations of the bundled model on indirect object identification, and write a report.

    If the demo is finished, it is not run again; the path of its report is printed.

    Example: `inversescope demo`
    """
    config = shipped()["demo"]
    if print_config:
        typer.echo(config, nl=False)
        return
    resume = resume or (out / "config.toml").exists()
    work(out, config, "demo", Path.cwd(), resume=resume, until="report")


@app.command()
def run(
    config: Annotated[
        Path,
        typer.Argument(metavar="CONFIG", help="TOML file, or the name of an included config, such as `ioi`."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the run; default: runs/NAME, for NAME.toml, or cluster.storage/NAME."),
    ] = None,
    resume: Resume = False,
    until: Annotated[str, typer.Option("--until", help=f"Last step to do: {', '.join(STEPS)}.")] = "report",
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Run nothing: print the disk space and memory that the whole run will need. The model's weights are "
            "not downloaded for it, and no code of the config is run.",
        ),
    ] = False,
    allow_code: AllowCode = False,
    cluster: ClusterAddress = None,
    workers: WorkerCount = None,
    threads: Threads = None,
    gpus: Gpus = None,
    mixed: Mixed = False,
) -> None:
    """Do all steps of a run. After an interruption, `--resume` continues it; the numbers come out the same.

    Examples: `inversescope run ioi --dry-run`, `inversescope run my.toml --resume`
    """
    if until not in STEPS:
        raise UserError("there is no such step", given=until, allowed=", ".join(STEPS))
    config = config.expanduser()
    if dry_run:
        _show_needs(config)
        return
    text = read_config(config)
    section = _cluster_of(text, config)
    where = Cluster.chosen(section, cluster, workers, threads, gpus, mixed)
    folder = out or (section.storage or Path("runs")) / config.stem
    work(folder, text, str(config), start(config), resume=resume, until=until, allow_code=allow_code, cluster=where)


def _cluster_of(text: str, config: Path) -> ClusterConfig:
    with screen.status("starting"):
        from inversescope.config import RunConfig

        return RunConfig.parse(text, str(config), start(config)).cluster


def _show_needs(config: Path) -> None:
    text = read_config(config)
    with screen.status("drawing the inputs"):
        from inversescope.cli.tables.needs import needs_table
        from inversescope.plan.needs import needs

        needed = needs(text, str(config), start(config))
    print_answers(needs_table(needed))


@app.command(
    help=f"Do one step of a run. `run CONFIG --until task` starts a run.\n\n{STEP_LIST}\n\n"
    "Example: `inversescope step runs/demo report`"
)
def step(
    run: RunFolder,
    step: Annotated[str, typer.Argument(metavar="STEP", help=f"Step: {', '.join(STEPS)}.")],
    allow_code: AllowCode = False,
    cluster: ClusterAddress = None,
    workers: WorkerCount = None,
    threads: Threads = None,
    gpus: Gpus = None,
    mixed: Mixed = False,
    units: Annotated[
        str | None,
        typer.Option(
            "--units",
            metavar="I/N",
            help="Only one unit of work in N, from number I (0 to N - 1): several processes do the shares of a step "
            "side by side, and the same command without this then finishes it. Not with --cluster.",
        ),
    ] = None,
) -> None:
    if step not in STEPS:
        raise UserError("there is no such step", given=step, allowed=", ".join(STEPS))
    if units is not None:
        _do_share(run, step, units, allow_code, cluster, threads)
        return
    with interruptible(f"start the step again: inversescope step {run} {step}"):
        from inversescope.run.locks import only_writer
        from inversescope.run.run import Run

        opened = Run.open(run, allow_code=allow_code)
        if opened.finished(step):
            screen.print(f"step {step} is done already; to do it again, delete {run / step}", soft_wrap=True)
        else:
            where = Cluster.chosen(opened.config.cluster, cluster, workers, threads, gpus, mixed)
            with only_writer(run), where.of(opened):
                do(opened, step)
        show(run, step)


def _do_share(folder: Path, step: str, units: str, allow_code: bool, cluster: str | None, threads: int | None) -> None:
    from inversescope.cluster.parts import Share

    share = Share.parse(units)
    if cluster is not None:
        raise UserError(
            "a cluster gives the units out itself",
            given=f"--units {units} --cluster {cluster}",
            allowed="one of the two",
        )
    with interruptible(f"start it again: inversescope step {folder} {step} --units {units}"):
        from inversescope.cli.progress import shown
        from inversescope.run.run import Run

        run = Run.open(folder, allow_code=allow_code)
        if run.finished(step):
            screen.print(f"step {step} is done already", soft_wrap=True)
            return
        with (
            Cluster(threads=threads or run.config.cluster.threads).of(run),
            shown(f"{step} {units}", screen) as progress,
        ):
            run.do_share(step, share, progress)
    screen.print(f"share {units} of {step} is done; when all are: inversescope step {folder} {step}", soft_wrap=True)


@app.command()
def extend(
    run: RunFolder,
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="Config of the run, with more inputs or sites.")],
) -> None:
    """Add inputs or sites to a run. Collected activations are kept; the step `collect` then adds the missing ones.

    Example: `inversescope extend runs/ioi larger.toml`
    """
    text = read_config(config)
    with screen.status("loading the subject"):
        from inversescope.run.extend import extend

        extend(run, text, str(config), start(config))
    screen.print(f"extended {run}; next: inversescope step {run} collect", soft_wrap=True)
