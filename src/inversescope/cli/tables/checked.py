"""Table of checked claims: activations outside of the prior first, then each claim with its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from inversescope.cli.tables.cells import estimated
from inversescope.verdicts.checked import CONTRADICTED, SUPPORTED
from inversescope.verdicts.wording import count, short, shortened, small

if TYPE_CHECKING:
    from inversescope.check import Checked

STYLES = {SUPPORTED: "green", CONTRADICTED: "red"}


def checked_table(checked: Checked, unused: Mapping[str, int]) -> Group:
    """The claims in the order of their file."""
    head = [
        f"[yellow]outside of the prior, nothing is said of it:[/] {escape(shortened(source))} at {escape(site)}"
        for source, site in checked.outside
    ]
    table = Table(box=None, pad_edge=False)
    for column in ("claim", "verdict", "share \\[95%]", "prior", "ending", "targets", "q"):
        table.add_column(column, no_wrap=column not in ("claim", "verdict"))
    for claim in checked:
        row = claim.record()
        style = STYLES.get(claim.verdict, "dim")
        about = f"{escape(claim.claim.claim)}\n[dim]{escape(shortened(row['source'], 40))} at {escape(row['site'])}[/]"
        shares = (estimated(row, "share"), *(escape(short(row[name])) for name in ("prior", "ending", "targets")))
        table.add_row(about, f"[{style}]{claim.verdict}[/]", *shares, small(row["q_value"]))
    rest = [f"[dim]not decided: {escape(reason)} ({count})[/]" for reason, count in _reasons(checked).items()]
    rest += [f"[yellow]not used[/]: {escape(reason)} ({count})" for reason, count in unused.items()]
    counts = ", ".join(f"{count} {verdict}" for verdict, count in checked.counts.items())
    return Group(*head, table, *rest, f"{count(len(checked), 'claim')}: {counts}")


def _reasons(checked: Checked) -> dict[str, int]:
    """Reasons of claims that nothing could be measured for, each with its number."""
    reasons = [claim.reason for claim in checked if claim.measured is None]
    return {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}
