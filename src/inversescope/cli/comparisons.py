"""Commands that compare: methods, interventions, two sides of a run, designs of one to come."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inversescope import bounds
from inversescope.cli.answers import print_answers
from inversescope.cli.configs import read_config, start
from inversescope.cli.json_lines import AsJson, print_lines
from inversescope.cli.shared import AllowCode, RunFolder, app, as_recorded, interruptible, screen
from inversescope.cli.working import refresh_report, work
from inversescope.errors import UserError


@app.command()
def arena(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="Folder of a run, config file, or name of an included config.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the comparison; default: arena, in the run.")
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            "--budget",
            min=0,
            max=bounds.SECONDS,
            help="Training time of a generator, seconds; default: that of the run's generator.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of samples and of training; default: that of the run."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="METHOD", help="Method to compare; may be given several times. Default: all."),
    ] = None,
    allow_code: AllowCode = False,
) -> None:
    """Compare InverseScope with other methods: probes, autoencoder latents, lenses, retrieval, edits and more.

    All methods get the same targets, sites and training inputs, and generators the same training time. Probes and
    autoencoders are trained until they no longer improve on held-out inputs, for four times as long at most. If STUDY
    is a config, it is run first. A seed or budget that differs from the run's trains another generator. After an
    interruption, start it again: it continues.

    Example: `inversescope arena runs/demo --only ours --only "linear probe"`
    """
    from inversescope.cli.tables.requested import arena_table

    run = _study(study, allow_code)
    folder = out or run / "arena"
    with interruptible(f"start it again: inversescope arena {study}"):
        with screen.status("starting"):
            from inversescope.arena.methods import chosen
            from inversescope.arena.run import run_methods
            from inversescope.arena.study import Study
            from inversescope.cli.progress import shown
            from inversescope.run.run import Run

            on = Study.of(Run.open(run, allow_code=allow_code), budget, seed)
        with shown("arena", screen) as progress:
            run_methods(folder, on, chosen(only or [], on.natural), progress)
    print_answers(arena_table(folder))
    screen.print(f"arena: {folder / 'arena.html'}", soft_wrap=True)


def _study(name: str, allow_code: bool) -> Path:
    """The run directory of a study; a config is run to its end."""
    path = Path(name)
    if path.is_dir():
        return path
    folder = Path("runs") / path.stem
    resume = (folder / "config.toml").exists()
    work(folder, read_config(path), name, start(path), resume=resume, until="report", allow_code=allow_code)
    return folder


@app.command()
def disentangle(run: RunFolder, allow_code: AllowCode = False) -> None:
    """Measure RAVEL's causal metric: replace an entity's activation at a site by that of another entity.

    Cause: the answer about this attribute becomes that of the other entity. Isolate: answers about other attributes
    stay. Activations come from verified samples, from the pool, and from controls. For runs of `cities` and `ravel`.
    After an interruption, start it again: it continues.

    Example: `inversescope disentangle runs/cities`
    """
    from inversescope.cli.tables.requested import disentangle_table

    with interruptible(f"start it again: inversescope disentangle {run}"):
        with screen.status("starting"):
            from inversescope.cli.progress import shown
            from inversescope.disentangle.disentangle import disentangle
            from inversescope.run.run import Run

            opened = Run.open(run, allow_code=allow_code)
        with shown("disentangle", screen) as progress:
            disentangle(opened, progress)
        refresh_report(run)
    print_answers(disentangle_table(run))


@app.command()
def compare(
    run: RunFolder,
    feature: Annotated[str, typer.Option("--feature", help="Feature whose FCR is compared.")],
    site: Annotated[
        list[str],
        typer.Option("--site", callback=as_recorded, help="Site that the run's generator is trained for."),
    ],
    resolution: Annotated[
        list[float] | None, typer.Option("--resolution", "-N", help="Resolution N of the run, the same at every site.")
    ] = None,
    bandwidth: Annotated[
        list[float] | None, typer.Option("--bandwidth", "-b", help="Bandwidth h, of a run that was made at bandwidths.")
    ] = None,
    method: Annotated[
        list[str], typer.Option("--method", help="`weighted`: samples with importance weights; `generator`: without.")
    ] = [  # noqa: B006
        "weighted"
    ],
    as_json: AsJson = False,
) -> None:
    """Compare the feature consistency rate (FCR) of two sites, resolutions or methods on the same targets.

    Give one of these options twice. Prints the difference with its 95% interval over targets, and an exact sign test.

    Example: `inversescope compare runs/demo --feature subject --site resid_post.15 --site resid_post.29 -N 64`
    """
    resolutions, bandwidths = resolution or [None], bandwidth or [None]
    options = (("--site", site), ("--resolution", resolutions), ("--bandwidth", bandwidths), ("--method", method))
    for name, values in options:
        if len(values) > 2:
            raise UserError("two things are compared at a time", given=f"{name} {len(values)} times", allowed="1 or 2")
    from inversescope.cli.tables.runs import comparison_table
    from inversescope.score.compare import compared, consistency

    sides = [(method[i], site[i], resolutions[i], bandwidths[i]) for i in (0, -1)]
    found = compared(*(consistency(run, x, s, feature, n, h).rates for x, s, n, h in sides))
    names = [f"{x}, {s}, {f'h = {h:g}' if n is None else f'1 in {n:g}'}" for x, s, n, h in sides]
    if as_json:
        keys = ("method", "site", "resolution", "bandwidth")
        print_lines([{"feature": feature, **found.record([dict(zip(keys, side, strict=True)) for side in sides])}])
        return
    print_answers(comparison_table(feature, names, found))


@app.command()
def power(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="RUN", help="Folder of a verified run, from whose samples the variation is measured."),
    ] = None,
    feature: Annotated[str | None, typer.Option("--feature", help="With RUN: feature.")] = None,
    site: Annotated[
        str | None, typer.Option("--site", callback=as_recorded, help="With RUN: site of its generator.")
    ] = None,
    resolution: Annotated[float | None, typer.Option("--resolution", "-N", help="With RUN: resolution N.")] = None,
    bandwidth: Annotated[
        float | None, typer.Option("--bandwidth", "-b", help="With RUN made at bandwidths: bandwidth h.")
    ] = None,
    method: Annotated[str, typer.Option("--method", help="With RUN: `weighted` or `generator`.")] = "weighted",
    fcr: Annotated[float, typer.Option("--fcr", min=0, max=1, help="Without RUN: expected FCR.")] = 0.8,
    alike: Annotated[
        float,
        typer.Option(
            "--icc",
            min=0,
            max=1,
            help="Without RUN: intraclass correlation of a target's samples, 0 to 1 (1: all agree).",
        ),
    ] = 0.3,
    width: Annotated[
        float, typer.Option("--width", min=0.001, max=0.5, help="Half the width of the wanted 95% interval.")
    ] = 0.1,
    as_json: AsJson = False,
) -> None:
    """Compute how many targets and samples give the feature consistency rate (FCR) a 95% interval of this width.

    Examples: `inversescope power --fcr 0.7 --icc 0.2 --width 0.05`, `inversescope power runs/demo --feature subject
    --site resid_post.29 -N 64`
    """
    from inversescope.cli.tables.runs import SAMPLES, power_table
    from inversescope.stats.design import targets_needed

    if run is not None:
        fcr, alike = _variation(run, method, site, feature, resolution, bandwidth)
    if as_json:
        given = {"fcr": fcr, "icc": alike, "width": width}
        print_lines(given | {"samples": n, "targets": targets_needed(fcr, alike, n, width)} for n in SAMPLES)
        return
    print_answers(power_table(fcr, alike, width))


def _variation(
    run: Path,
    method: str,
    site: str | None,
    feature: str | None,
    resolution: float | None,
    bandwidth: float | None,
) -> tuple[float, float]:
    """The rate of consistency of a run's samples, and how alike those of one target are."""
    from inversescope.score.compare import consistency
    from inversescope.stats import design, intervals

    if site is None or feature is None:
        raise UserError(
            "a run is read at one place", allowed="RUN with --feature, --site and --resolution or --bandwidth"
        )
    consistent = consistency(run, method, site, feature, resolution, bandwidth)
    alike = design.intraclass_correlation(*consistent)
    if alike != alike:
        raise UserError(
            "these samples do not say how targets vary",
            given=f"consistency {intervals.mean(consistent.rates).value:.2f} over {len(consistent.rates)} targets",
            remedy="another site or resolution, or --fcr and --icc without RUN",
        )
    return intervals.mean(consistent.rates).value, alike
