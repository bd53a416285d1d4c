"""Command that opens runs in the viewer, or writes them as a folder that can be shared."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from inversescope.cli.shared import AllowCode, app, screen


@app.command()
def view(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RUN", help="Folders of runs. Default: those in runs/.", show_default=False),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Port. Default: 8642, or if it is taken, a free one.")
    ] = None,
    host: Annotated[
        str,
        typer.Option("--host", help="Address at which it listens. Any other than 127.0.0.1 lets other machines in."),
    ] = "127.0.0.1",
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address and open no browser.")] = False,
    model: Annotated[
        str, typer.Option("--model", help="Model of texts that are inverted without a run, as in a config.")
    ] = "smollm2",
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", help="Write a static folder that shows these runs without a server, and end."),
    ] = None,
    largest: Annotated[
        float, typer.Option("--largest", min=0, max=1_000_000, help="With `--bundle`: most megabytes of stored draws.")
    ] = 100,
    allow_code: AllowCode = False,
) -> None:
    """Look at runs in the browser, and ask them: choose a token of any text and a site, and watch verified inputs
    arrive. Needs the extra `view`.

    The page is for this machine alone, and its address holds a token. Nothing in a run directory is executed.

    Example: `inversescope view runs/demo --no-browser`
    """
    from inversescope.view.serve import require_folders, serve

    folders = require_folders(runs or [])
    if allow_code:
        from inversescope.run.run import Run

        for folder in folders:
            Run.open(folder, allow_code=True)
    if bundle is not None:
        _bundle(folders, bundle, largest)
        return
    screen.print("starting the viewer", soft_wrap=True)
    serve(
        folders,
        host=host,
        port=port,
        browser=not no_browser,
        model=model,
        say=lambda words: screen.print(words, soft_wrap=True, markup=False),
    )


def _bundle(folders: list[Path], folder: Path, largest: float) -> None:
    """Write the runs as a folder."""
    from inversescope.view.bundle import write_bundle
    from inversescope.view.runs import identified

    say = partial(screen.print, soft_wrap=True, markup=False)
    left_out = write_bundle(identified(folders), folder, say, largest)
    if left_out:
        say(f"without the draws of {len(left_out)} sites: {', '.join(left_out[:8])}; --largest takes more")
    say(f"open {folder / 'index.html'}")
