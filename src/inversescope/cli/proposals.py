"""The command by which a language model proposes hypotheses."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inversescope import bounds
from inversescope.cli.answers import print_answers
from inversescope.cli.shared import RunFolder, app, as_recorded, interruptible, screen
from inversescope.cli.working import refresh_report
from inversescope.errors import UserError

if TYPE_CHECKING:
    from inversescope.propose.endpoint import Address, Request


def _price(given: tuple[float, float] | None) -> tuple[float, float] | None:
    """Prices that are sums of money; others are refused before anything is sent."""
    if given is not None and not all(0 <= price <= bounds.PRICE for price in given):
        shown = " ".join(f"{price:g}" for price in given)
        raise UserError("this is no price", given=f"--price {shown}", allowed=f"two numbers from 0 to {bounds.PRICE:,}")
    return given


# Options of every command that sends requests to a language model.
MaxCalls = Annotated[
    int,
    typer.Option("--max-calls", min=1, max=bounds.CALLS, help="Largest number of requests, repeated ones included."),
]
MaxTokens = Annotated[
    int,
    typer.Option("--max-tokens", min=1, max=bounds.SPENT, help="Largest number of tokens, sent and received together."),
]
ReplyTokens = Annotated[
    int,
    typer.Option(
        "--reply-tokens",
        min=64,
        max=bounds.TOKENS,
        help="Largest number of tokens of a reply; reasoning models need more.",
    ),
]

Price = Annotated[
    tuple[float, float] | None,
    typer.Option(
        "--price",
        callback=_price,
        help="Price of a million tokens sent, and received; with it the cost is printed.",
        show_default=False,
    ),
]
Parallel = Annotated[int, typer.Option("--parallel", min=1, max=64, help="Number of requests at the same time.")]
Timeout = Annotated[
    float, typer.Option("--timeout", min=1, max=bounds.SECONDS, help="Longest time for a reply, seconds.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Send without confirmation.")]


@app.command()
def propose(
    run: RunFolder,
    site: Annotated[
        str,
        typer.Option(
            "--site",
            callback=as_recorded,
            help="Site that the run's generator is trained for, such as resid_post.29.",
        ),
    ],
    resolution: Annotated[
        float | None,
        typer.Option("--resolution", "-N", help="Resolution N of the run; default: the finest with enough samples."),
    ] = None,
    bandwidth: Annotated[
        float | None, typer.Option("--bandwidth", "-b", help="Bandwidth h, of a run that was made at bandwidths.")
    ] = None,
    hypotheses: Annotated[
        int, typer.Option("--hypotheses", "-n", min=1, max=bounds.HYPOTHESES, help="Number of hypotheses.")
    ] = 8,
    question: Annotated[
        list[str] | None,
        typer.Option("--question", help="Yes-or-no question to judge and score, instead of proposed hypotheses."),
    ] = None,
    max_calls: MaxCalls = 200,
    max_tokens: MaxTokens = 500_000,
    reply_tokens: ReplyTokens = 1024,
    price: Price = None,
    parallel: Parallel = 4,
    timeout: Timeout = 120,
    yes: Yes = False,
) -> None:
    """Let a language model propose hypotheses about a site; score them on targets that it has not seen.

    Needs an OpenAI-compatible endpoint, which may be local, in these environment variables: INVERSESCOPE_BASE_URL,
    INVERSESCOPE_MODEL, and INVERSESCOPE_API_KEY if a key is needed. The largest possible cost is printed before
    anything is sent.

    Example: `inversescope propose runs/demo --site resid_post.29`
    """
    with interruptible("start the same command again; what was answered is not asked again"):
        from inversescope import propose as proposing
        from inversescope.propose.endpoint import Address, Budget, Endpoint
        from inversescope.run.locks import only_writer

        address = Address.from_environment()
        proposing.require_same(run)
        limits = proposing.Limits(hypotheses=hypotheses, reply_tokens=reply_tokens)
        split = proposing.read_split(run, site, bandwidth, resolution)
        plan = proposing.Plan(split, limits, _questions(question or []))
        announce_calls(plan.most, address, max_calls, max_tokens, price, "fewer --hypotheses, or higher limits")
        confirm(yes)
        budget = Budget(max_calls, max_tokens)
        connection = Endpoint(address, proposing.replies(run), budget, timeout=timeout, parallel=parallel)
        with only_writer(run):
            with connection as endpoint, screen.status("proposing") as status:
                outcome = proposing.propose(
                    plan, endpoint, lambda done, total, note="": status.update(f"{note}: {done}/{total} replies")
                )
            proposing.write(run, plan, address, outcome, price)
            _show_proposals(run, site, plan.split.bandwidth)
            refresh_report(run)


def _questions(given: Sequence[str]) -> tuple[str, ...]:
    from inversescope.propose.proposing import QUESTION

    for question in given:
        if not question.strip() or len(question) > QUESTION:
            raise UserError("this cannot be asked", given=repr(question), allowed=f"1 to {QUESTION} characters")
    return tuple(dict.fromkeys(given))


def announce_calls(
    most: Sequence[Request], address: Address, calls: int, tokens: int, price: tuple[float, float] | None, remedy: str
) -> None:
    """Say what may be sent at most, and refuse it where that is more than is allowed, or where nothing can be sent."""
    from inversescope.propose import cost
    from inversescope.propose.endpoint import require_client

    require_client()
    written = sum(request.reply_tokens for request in most)
    read = sum(request.tokens for request in most) - written
    paid = cost((read, written), price)
    needed = f"{len(most)} calls, about {read:,} tokens in and {written:,} out"
    needed += "" if paid is None else f", {paid:.2f} at these prices"
    if len(most) > calls or read + written > tokens:
        raise UserError(
            "this could take more than is allowed, and nothing was sent",
            given=f"at most {needed}",
            allowed=f"{calls} calls (--max-calls), {tokens:,} tokens (--max-tokens)",
            remedy=remedy,
        )
    where = f"{address.model} at {address.base_url}"
    screen.print(f"texts of this run go to {where}: at most {needed};", soft_wrap=True, markup=False)
    screen.print("what was answered before is not sent again")


def confirm(yes: bool) -> None:
    """End the command where the user does not want to send."""
    if not yes and not (sys.stdin.isatty() and typer.confirm("send?", default=True)):
        screen.print("nothing was sent; with --yes it is sent without asking")
        raise typer.Exit(1)


def _show_proposals(folder: Path, site: str, bandwidth: float) -> None:
    from inversescope.cli.tables.requested import proposals_table

    print_answers(proposals_table(folder, site, bandwidth))
