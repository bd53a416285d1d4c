"""The command that checks claims about activations."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inversescope import bounds
from inversescope.cli.answers import print_answers
from inversescope.cli.ask import Bandwidth, Resolution
from inversescope.cli.json_lines import AsJson, print_lines
from inversescope.cli.proposals import (
    MaxCalls,
    MaxTokens,
    Parallel,
    Price,
    ReplyTokens,
    Timeout,
    Yes,
    announce_calls,
    confirm,
)
from inversescope.cli.shared import AllowCode, RunFolder, app, interruptible, screen

if TYPE_CHECKING:
    from inversescope.check import Claim
    from inversescope.inverter import Inverter


@app.command()
def check(
    run: RunFolder,
    claims: Annotated[
        Path,
        typer.Option(
            "--claims",
            help='Claims, one a line of JSON: {"text": "...", "site": "resid_post.5", "claim": "..."}; or a readout '
            "file of WorkspaceBench, activation oracles, NLA or Neuronpedia.",
        ),
    ],
    texts: Annotated[
        Path | None, typer.Option("--texts", help="Read plan of WorkspaceBench, which has the texts of its readouts.")
    ] = None,
    vectors: Annotated[
        Path | None,
        typer.Option(
            "--vectors", help="Autoencoder whose rows Neuronpedia's explanations are about: FOLDER or FILE:NAME."
        ),
    ] = None,
    resolution: Resolution = None,
    bandwidth: Bandwidth = None,
    n: Annotated[int, typer.Option("-n", min=8, max=bounds.SAMPLES, help="Number of draws for each activation.")] = 128,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="Seed of the draws.")] = 0,
    necessity: Annotated[
        bool, typer.Option(help="Test supported claims by patching: does the model use what is claimed?")
    ] = True,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the verdicts to this .jsonl file too, one line a claim.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write them to this HTML file too.")] = None,
    max_calls: MaxCalls = 200,
    max_tokens: MaxTokens = 500_000,
    reply_tokens: ReplyTokens = 1024,
    price: Price = None,
    parallel: Parallel = 4,
    timeout: Timeout = 120,
    yes: Yes = False,
    allow_code: AllowCode = False,
    as_json: AsJson = False,
) -> None:
    """Check claims about activations: supported, contradicted, said by the prior or the ending alone, or cannot tell.

    Each activation is inverted. A claim becomes a feature of inputs, and its share among the verified draws is compared
    with the prior, with inputs of the same ending, and with draws for other targets. Claims in words go to a language
    model that judges blind (the variables of `propose`), or to a classifier if they have examples.

    Example: `inversescope check runs/demo --claims claims.jsonl --out verdicts.jsonl`
    """
    with interruptible("start the same command again; what was answered is not asked again"):
        from inversescope.check import Checking, LanguageModel
        from inversescope.check import records as recording
        from inversescope.cli.progress import shown
        from inversescope.cli.tables.checked import checked_table
        from inversescope.inverter import Inverter
        from inversescope.propose.endpoint import Address, Budget, Endpoint
        from inversescope.propose.endpoint.address import BASE_URL
        from inversescope.report.checked import require_page, write_checked
        from inversescope.run.locks import only_writer

        if html is not None:
            require_page(html)
        made_from = recording.state(run)
        inverter = Inverter.load(run, allow_code=allow_code)
        listed, unused = _claims(inverter, claims, texts, vectors)
        with shown("check", screen) as progress:
            checking = Checking(
                inverter, listed, n=n, resolution=resolution, bandwidth=bandwidth, seed=seed, progress=progress
            )
        most = checking.requests(reply_tokens)
        address = Address.from_environment() if most and any(map(os.environ.get, BASE_URL)) else None
        if address is not None:
            announce_calls(most, address, max_calls, max_tokens, price, "fewer claims in words, or higher limits")
            confirm(yes)
        with only_writer(run):
            recording.require_same(run, made_from)
            if address is None:
                found = checking.results(necessity=necessity)
                recording.write(run, found, claims, made_from, unused=unused)
            else:
                budget = Budget(max_calls, max_tokens)
                connection = Endpoint(address, recording.replies(run), budget, timeout=timeout, parallel=parallel)
                with connection as endpoint, screen.status("judging"):
                    judge = LanguageModel(endpoint, seed, reply_tokens)
                    found = checking.results(judge, necessity)
                recording.write(run, found, claims, made_from, unused=unused, judged=judge.judged, model=address.model)
        if out is not None:
            found.save(out)
        if html is not None:
            write_checked(found.record(), html)
            screen.print(f"page: {html}", soft_wrap=True)
        if as_json:
            print_lines(each.record() for each in found)
            return
        print_answers(checked_table(found, unused))


def _claims(
    inverter: Inverter, path: Path, texts: Path | None, vectors: Path | None
) -> tuple[list[Claim], Mapping[str, int]]:
    """The claims of a file, and of a readout file the parts that are not used."""
    from inversescope.check import read_claims
    from inversescope.check.readouts import Where, read_readouts
    from inversescope.verdicts.wording import count

    where = Where(inverter.sites, len(inverter.run.subject.prefix), texts, vectors)
    if (imported := read_readouts(path, where)) is None:
        return read_claims(path, inverter.task.features), {}
    screen.print(f"{count(len(imported.claims), 'claim')} by {imported.tool}", soft_wrap=True)
    return imported.claims, dict(imported.unused)
