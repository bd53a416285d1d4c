"""The command line. Torch is imported by the commands that need it, so that `--help` answers at once."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from inversescope.errors import UserError

if TYPE_CHECKING:
    from inversescope.pipeline import Run

app = typer.Typer(
    name="inversescope",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Which inputs produce this activation of a language model, how closely, and what does it encode?\n\n"
    "Start with `inversescope doctor`, then `inversescope demo`.",
)
screen = Console(stderr=True, highlight=False)

STEPS = {
    "task": "Measure how well the subject does the task; refuse one that it cannot do.",
    "collect": "Draw inputs from the prior and store their activations.",
    "train": "Train the generator, from its last checkpoint if there is one.",
    "calibrate": "Compare the generator with the exact distribution, or with the reference: a verdict on every site.",
    "sample": "Draw inputs from the generator for every target, site and bandwidth.",
    "verify": "Run every sample back through the subject: distance, weight, acceptance.",
    "reference": "Measure the distances of the pool to the targets: the answer without a generator.",
    "score": "Consistency, chance, corrected score, bits, calibration gap and controls.",
    "report": "Write the report: one HTML file that works from disk.",
}

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in this folder where it was interrupted.")]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. A user's mistake ends with a message and exit code 2, never with a traceback."""
    try:
        app(arguments)
    except UserError as error:
        _fail(str(error))
    except OSError as error:
        if error.filename is None:
            raise
        _fail(f"a file cannot be used\n  given:   {error.filename}: {error.strerror}")


def _fail(message: str) -> None:
    screen.print("[bold red]error:[/]", Text(message), soft_wrap=True)
    sys.exit(2)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Where the run goes.")] = Path("runs/demo"),
    full: Annotated[
        bool, typer.Option("--full", help="One generator for all 300 sites. Says how long that takes before it starts.")
    ] = False,
    resume: Resume = False,
    print_config: Annotated[bool, typer.Option("--print-config", help="Print the demo's config and stop.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --full: start without asking.")] = False,
) -> None:
    """Explain activations of the bundled subject on indirect object identification, and write a report.

    A finished demo is not run again: the report's path is printed.
    """
    config = _demo_config(full)
    if print_config:
        typer.echo(config, nl=False)
        return
    out = out.with_name(f"{out.name}-full") if full and out == Path("runs/demo") else out
    resume = resume or (out / "config.toml").exists()
    _work(out, config, resume=resume, until="report", announce=full, yes=yes)


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
) -> None:
    """Do every step of a config. Killed at any moment, it goes on with --resume and ends with the same numbers."""
    if until not in STEPS:
        raise UserError("there is no such step", given=until, allowed=", ".join(STEPS))
    _work(out or Path("runs") / config.stem, _read_config(config), resume=resume, until=until)


@app.command()
def init(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A TOML file.")],
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that does not exist or is empty.")],
) -> None:
    """Make a run directory, to do its steps one by one."""
    _open(folder, _read_config(config), resume=False)
    screen.print(f"made {folder}; next: inversescope task {folder}", soft_wrap=True)


@app.command()
def extend(
    run: RunFolder,
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The run's config, asking for more.")],
) -> None:
    """Ask a run for more inputs or more sites. What is collected is kept; `collect` then reads what is missing."""
    text = _read_config(config)
    with screen.status("loading the subject"):
        from inversescope.extend import extend

        extend(run, text)
    screen.print(f"extended {run}; next: inversescope collect {run}", soft_wrap=True)


def _step_command(step: str) -> Callable[[Path], None]:
    def command(run: RunFolder) -> None:
        with _interruptible(f"start the step again: inversescope {step} {run}"):
            from inversescope.pipeline import Run

            opened = Run.open(run)
            if opened.finished(step):
                screen.print(f"step {step} is done already; to do it again, delete {run / step}", soft_wrap=True)
            else:
                _do(opened, step)
            _show(run, step)

    command.__doc__ = STEPS[step]
    return command


for _name in STEPS:
    app.command(_name, rich_help_panel="One step of a run")(_step_command(_name))


@app.command()
def invert(
    site: Annotated[str, typer.Option("--site", help="A site of the run's generator, such as resid_post.29.")],
    text: Annotated[str | None, typer.Argument(help="The text that is read.", show_default=False)] = None,
    messages: Annotated[
        Path | None,
        typer.Option("--messages", help='In its place, a conversation: JSON, [{"role": "user", "content": "..."}].'),
    ] = None,
    position: Annotated[
        str,
        typer.Option(
            "--position",
            help="Where: `last`, the index of a token (from 0, or from -1 at the end), a piece of the text (the token "
            "in which it ends), or in a conversation a role and its turn, such as `user:-1`.",
        ),
    ] = "last",
    run: Annotated[Path, typer.Option("--run", help="A trained run.")] = Path("runs/demo"),
    bandwidth: Annotated[float, typer.Option("--bandwidth", "-h", help="Radius h in δ: how similar is similar.")] = 0.1,
    n: Annotated[int, typer.Option("-n", min=1, help="How many samples to draw.")] = 32,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Decides the draws.")] = 0,
) -> None:
    """Inputs that would have produced the activation of TEXT at a site and a position, each verified by running it.

    Of a text that is too long for the subject, the tokens nearest to the position are kept.
    """
    from inversescope import files
    from inversescope.inverter import Inverter
    from inversescope.tables import inversion_table

    source = text if messages is None else files.read_json(messages)
    if source is None or None not in (text, messages):
        given = "neither" if source is None else "both"
        raise UserError("a text or a conversation is read", given=given, allowed="either TEXT or --messages FILE")
    where = int(position) if re.fullmatch(r"-?\d+", position) else position
    inversion = Inverter.load(run).invert(source, site=site, position=where, n=n, bandwidth=bandwidth, seed=seed)
    Console(highlight=False).print(inversion_table(inversion))


@app.command()
def sites(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="`smollm2`, a Hugging Face name, or a folder.")],
    select: Annotated[
        str, typer.Option("--select", help="Only these, such as `z.*.*`; prints one address a line.")
    ] = "",
) -> None:
    """Which sites a model has."""
    from inversescope.subject import Subject
    from inversescope.tables import sites_table

    subject = Subject.load(model)
    if select:
        typer.echo("\n".join(str(site) for site in subject.sites(select.split(","))))
    else:
        Console(highlight=False).print(sites_table(subject.name, subject.shape, subject.points))


@app.command()
def tasks(
    name: Annotated[str | None, typer.Argument(metavar="[TASK]", help="One of them: what its section may say.")] = None,
) -> None:
    """Which tasks there are: where inputs come from. With TASK: the keys of its section in a config."""
    from inversescope.tables import task_table, tasks_table
    from inversescope.tasks import entries

    known = entries()
    if name is not None and name not in known:
        raise UserError("there is no such task", given=name, allowed=", ".join(known))
    Console(highlight=False).print(tasks_table(known.values()) if name is None else task_table(known[name]))


@app.command()
def doctor(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="`smollm2`, a Hugging Face name, or a folder.")
    ] = None,
    dtype: Annotated[str, typer.Option("--dtype", help="auto, float32, bfloat16 or float16.")] = "auto",
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N, or all.")] = "auto",
    bits: Annotated[int | None, typer.Option("--bits", help="Of a weight: 8 or 4; as they are if left out.")] = None,
    attention: Annotated[
        str | None, typer.Option("--attention", help="sdpa, eager, flash_attention_2 or flex_attention.")
    ] = None,
) -> None:
    """What is installed, which device is used, whether the bundled model is found, and what to do if not.

    With MODEL: whether its sites are what they are called, by equations measured on the loaded model itself. Exit code
    1 if one does not hold.
    """
    if model is not None:
        _examine(model, dtype=dtype, device=device, bits=bits, attention=attention)
        return
    from inversescope.doctor import examine
    from inversescope.tables import doctor_table

    checks = examine()
    Console(highlight=False).print(doctor_table(checks))
    if any(check.ok is False for check in checks):
        raise typer.Exit(2)


def _examine(model: str, *, dtype: str, device: str, bits: int | None, attention: str | None) -> None:
    with screen.status("loading the model"):
        from inversescope.subject import Subject
        from inversescope.subject.identities import drift, examine
        from inversescope.tables import identities_table

        subject = Subject.load(model, dtype=dtype, device=device, bits=bits, attention=attention)
    with screen.status("examining it"):
        rounding = drift(subject)
        identities = (*examine(subject), *([] if rounding is None else [rounding]))
    Console(highlight=False).print(identities_table(subject.name, identities))
    if any(identity.ok is False for identity in identities):
        raise typer.Exit(1)


def _demo_config(full: bool) -> str:
    return _shipped()["demo-full" if full else "demo"]


def _shipped() -> dict[str, str]:
    """The configs that ship with the package, by name."""
    from importlib.resources import files

    found = sorted(files("inversescope.configs").iterdir(), key=lambda path: path.name)
    return {path.name.removesuffix(".toml"): path.read_text("utf-8") for path in found if path.name.endswith(".toml")}


def _work(folder: Path, config: str, *, resume: bool, until: str, announce: bool = False, yes: bool = False) -> None:
    """Do what is left of a run up to a step, and show what there is."""
    if resume and _is_finished(folder):
        _require_same(folder, config)
        screen.print("this run is finished: nothing is left to do")
        _show(folder, "report")
        return
    with _interruptible(f"go on with --resume (folder {folder})"):
        run = _open(folder, config, resume)
        if announce and not run.finished("train"):
            _announce(run, yes)
        for step in STEPS:
            if not run.finished(step):
                _do(run, step)
            if step == until:
                break
    _show(folder, until)


def _open(folder: Path, config: str, resume: bool) -> Run:
    """The run in this folder, new or resumed."""
    with screen.status("starting"):
        from inversescope.pipeline import Run

    if resume and (folder / "resolved.json").exists():
        _require_same(folder, config)
        return Run.open(folder)
    with screen.status("loading the subject (the first time, the bundled model is converted: half a minute)"):
        return Run.create(folder, config)


def _is_finished(folder: Path) -> bool:
    from inversescope import files

    return all(files.finished(part) for part in (folder, *(folder / step for step in STEPS)))


def _require_same(folder: Path, config: str) -> None:
    if (folder / "config.toml").read_bytes() != config.encode():
        raise UserError(
            "the run in this folder was started with another config",
            given=folder / "config.toml",
            remedy=f"the config as it was, another folder for the new one, or inversescope extend {folder} CONFIG "
            "where it only asks for more inputs or sites",
        )


@contextmanager
def _interruptible(how: str) -> Iterator[None]:
    """Says how to go on when the user interrupts what is within."""
    try:
        yield
    except KeyboardInterrupt:
        screen.print(f"interrupted; nothing that was written is lost: {how}", soft_wrap=True)
        raise typer.Exit(130) from None


def _show(folder: Path, step: str) -> None:
    """What a run says after a step: its scores, and where the report is."""
    from inversescope.tables import summary_table, verdict_table

    if step == "calibrate":
        Console(highlight=False).print(verdict_table(folder))
    if step in ("score", "report"):
        Console(highlight=False).print(summary_table(folder))
    if step == "report":
        screen.print(f"report: {folder / 'report' / 'report.html'}", soft_wrap=True)


def _do(run: Run, step: str) -> None:
    from inversescope.progress import shown

    with shown(step, screen) as progress:
        run.do(step, progress)


def _announce(run: Run, yes: bool) -> None:
    """Say how long what is left of the run takes, from measurements on this machine, and ask."""
    from inversescope.estimate import estimate

    with screen.status("measuring this machine: a quarter of a minute"):
        seconds = estimate(run)
    parts = ", ".join(f"{step} {_minutes(value)}" for step, value in seconds.items())
    number = len(run.sites["train"])
    screen.print(f"one generator for {number} sites: about {_minutes(sum(seconds.values()))} ({parts})", soft_wrap=True)
    if not yes and sys.stdin.isatty() and not typer.confirm("start?", default=True):
        raise typer.Exit(0)


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def _read_config(path: Path) -> str:
    """The text of a config: a file, or one that ships with the package, by its name."""
    from inversescope.config import RunConfig

    shipped = _shipped()
    if str(path) in shipped and not path.is_file():
        return shipped[str(path)]
    if not path.exists() and path.suffix != ".toml":
        raise UserError("there is no such config", given=path, allowed=f"a TOML file, or one of: {', '.join(shipped)}")
    RunConfig.read(path)
    return path.read_bytes().decode("utf-8")
