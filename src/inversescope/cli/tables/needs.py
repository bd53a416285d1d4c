"""Needs of a run on disk and in memory, as the dry run shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Group
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from inversescope.plan.needs import Needs


def needs_table(needs: Needs) -> Group:
    """Disk and memory that a run will need."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    shape = needs.shape
    table.add_row(
        "subject",
        escape(
            f"{needs.subject}: {needs.parameters:,} weights, {shape.layers} layers, width {shape.width}, "
            f"{shape.heads} heads, {needs.dtype} on {needs.device}"
        ),
    )
    rows = ", ".join(f"{rows:,} {split}" for split, rows in needs.inputs.items())
    table.add_row("inputs", rows + (f" ({needs.bounds})" if needs.bounds else ""))
    for note in needs.notes:
        table.add_row("texts", escape(note))
    if needs.prior is not None:
        times = needs.prior / sum(needs.inputs.values())
        remedy = 'with collect.pool = "all" the reference is exact'
        table.add_row("prior", f"{needs.prior:,} inputs, {times:.1f} times those above: {remedy}")
    where = {split: f"{count} ({coordinates:,} numbers)" for split, (count, coordinates) in needs.sites.items()}
    table.add_row("sites", f"{where['pool']}; the generator's: {where['train']}")
    table.add_row("disk", f"{_parts(needs.disk)}; until training ends, {decimal(needs.checkpoint)} more (checkpoint)")
    table.add_row("memory" if needs.beside is None else f"on {needs.device}", _parts(needs.memory))
    if needs.beside is not None:
        table.add_row("memory", _parts(needs.beside))
    return Group(table)


def _parts(parts: Mapping[str, int]) -> str:
    """Bytes in all, and what they are made of."""
    return f"{decimal(sum(parts.values()))}: " + ", ".join(f"{name} {decimal(size)}" for name, size in parts.items())
