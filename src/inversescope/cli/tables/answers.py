"""Tables for one activation: its samples, and the hypotheses about it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from inversescope.cli.tables.cells import interval, marked
from inversescope.sites import Site
from inversescope.verdicts import BELOW_NOISE, NULL_FEATURE, NULL_PASSES, SOURCE_ALONE
from inversescope.verdicts.used import BOTH
from inversescope.verdicts.wording import DASH, equals, number, short, visible

SYNONYMS = 3  # other names of a fact that are shown

if TYPE_CHECKING:
    from inversescope.explain import Explanation, Finding, SiteExplained
    from inversescope.inverter import Inversion


def inversion_table(inversion: Inversion) -> Group:
    """The samples of one inversion, nearest first."""
    head = (
        f"{_outside(inversion)}[bold]{escape(visible(inversion.text))}[/]{inversion.cut_off}\n"
        f"{inversion.site}, {inversion.level}: "
        f"{len(inversion.samples)} samples, {len(inversion.distinct)} distinct, "
        f"{inversion.distances}, effective sample size {inversion.effective_sample_size:.1f}, "
        f"Pareto k̂ {number(inversion.pareto_k)}"
    )
    head += "\n" + "\n".join(_notes(inversion))
    if inversion.below_noise:
        floor = f"the same input in another batch is at δ up to {number(inversion.noise_floor, 3)}"
        head += f"\n[yellow]h is {BELOW_NOISE}: {floor}[/]"
    counts = inversion.typical.acceptance_counts
    table = Table("δ", "weight", "draws", *(["accepted"] if counts else []), "sample")
    for sample in inversion.distinct:
        text = "[dim]never ended[/]" if sample.text is None else marked(inversion.source_text, sample.text)
        accepted = ["yes" if sample.accepted else ""] if counts else []
        table.add_row(number(sample.distance), number(sample.weight), str(sample.times), *accepted, text)
    if inversion.outside.outside:  # its samples answer for other activations
        return Group(head, table)
    return Group(head, table, _of_vector(inversion) if inversion.tokens is None else _shared(inversion))


def _of_vector(inversion: Inversion) -> Table:
    """The label of each feature that has the most weight."""
    table = Table("feature", "label with the most weight", "its share of the weight")
    for name in inversion.labels:
        label, share = inversion.heaviest(name) or (DASH, None)
        table.add_row(escape(name), escape(label), number(share))
    return table


def _shared(inversion: Inversion) -> Table:
    """The weight that shares each of the source's labels."""
    shared = Table("feature", "source", "weight of the samples that share it", "without the source itself")
    for name, value in inversion.labels.items():
        weights = (number(inversion.shared(name, others)) for others in (False, True))
        shared.add_row(escape(name), escape(value or "undecided"), *weights)
    return shared


def _notes(inversion: Inversion) -> list[str]:
    """Notes on the samples, a line each; all but the first are warnings."""
    first, *warnings = (escape(note) for note in inversion.notes)
    return [first, *(f"[yellow]{warning}[/]" for warning in warnings)]


def _outside(inversion: Inversion) -> str:
    """The first line where the activation is outside of the prior; empty elsewhere."""
    return f"[bold red]{inversion.outside.words}[/]\n" if inversion.outside.outside else ""


def explanation_table(explanation: Explanation) -> Group:
    """The hypotheses of one site with their samples; of several, where each is above chance."""
    levels = ", ".join(dict.fromkeys(of_site.inversion.level for of_site in explanation.sites))
    head = f"[bold]{escape(visible(explanation.text))}[/]\n{levels}; half of the draws proposed, half confirm"
    return _at_one_site(*explanation.sites, head) if len(explanation.sites) == 1 else _over_sites(explanation, head)


def _at_one_site(only: SiteExplained, head: str) -> Group:
    if only.inversion.outside.outside:
        return Group(f"{_outside(only.inversion)}{head}\n{only.site}")
    blocks = [_finding_block(only.inversion.source_text, each) for each in only.findings if each.above_chance]
    rest = len(only.findings) - len(blocks)
    foot = f"[dim]{rest} more that are not above chance[/]" if rest else ""
    verdict = "" if only.verdict in (None, "calibrated") else f" [yellow](the generator here: {only.verdict})[/]"
    null = f"{NULL_FEATURE} (a hash of the input): corrected {interval(only.null)}"
    top = "\n".join([head, f"{only.site}{verdict}", "\n".join(_notes(only.inversion)), null, *_grouped(only)])
    return Group(top, *(blocks or [_nothing(only)]), foot)


def _nothing(only: SiteExplained) -> str:
    """The reason for which a site has no finding."""
    if only.null_passes:
        return f"nothing is claimed: {NULL_PASSES}"
    if any(finding.source_alone for finding in only.findings):
        return f"nothing is claimed: {SOURCE_ALONE}"
    none = only.inversion.left_out
    return "no hypothesis is above chance" if none is None else f"cannot tell: {none}"


def _over_sites(explanation: Explanation, head: str) -> Group:
    """A row for each hypothesis that is above chance somewhere, a column for each site."""
    if outside := [of_site for of_site in explanation.sites if of_site.inversion.outside.outside]:
        everywhere = len(outside) == len(explanation.sites)
        nothing = " at every site; nothing is said" if everywhere else "; nothing is said there"
        listed = "\n".join(f"  {of_site.site}: {of_site.inversion.outside.words}" for of_site in outside)
        head = f"[bold red]outside of the prior{nothing}[/]\n{listed}\n{head}"
        if everywhere:
            return Group(head)
    series = {Site.parse(of_site.site).series for of_site in explanation.sites}
    table = Table(*series if len(series) == 1 else ["hypothesis"], box=None, pad_edge=False)
    for of_site in explanation.sites:
        heading = of_site.site.removeprefix(f"{next(iter(series))}.") if len(series) == 1 else of_site.site
        table.add_column(heading, no_wrap=True)
    for name, row in explanation.table().items():
        cells = (
            "[dim]outside[/]" if of_site.inversion.outside.outside else _over_depth(row.get(of_site.site))
            for of_site in explanation.sites
        )  # fmt: skip
        table.add_row(escape(name), *cells)
    hashed = [_null(of_site) for of_site in explanation.sites]
    table.add_row(f"[dim]{NULL_FEATURE}[/]", *hashed)
    foot = ["[dim]corrected score; bold: used; dim: not above chance; –: cannot tell, the weights have collapsed[/]"]
    foot += [f"[dim]*: nothing is claimed there, {NULL_PASSES}[/]"] if any("*" in cell for cell in hashed) else []
    foot += [f"{of_site.site}: {line}" for of_site in explanation.sites for line in _grouped(of_site)[:1]]
    return Group(head, table, *foot)


def _grouped(of_site: SiteExplained) -> list[str]:
    """The groups of the draws, a line each behind their sum; empty where there is one."""
    if not of_site.more_than_one:
        return []
    text, lines = of_site.inversion.source_text, [f"[bold]{escape(of_site.more_than_one)}[/]"]
    for group in of_site.grouped.groups:
        label = "" if group.label is None else f" [bold]{escape(group.label)}[/]:"
        lines.append(f"  {group.share:.0%}{label} {marked(text, group.nearest.text or '')}")
    return lines


def _null(of_site: SiteExplained) -> str:
    """The null feature's score at a site, with a mark where it is above chance."""
    if of_site.inversion.outside.outside or math.isnan(of_site.null.value):
        return "–"
    return short(max(0.0, of_site.null.value)) + "*" * of_site.null_passes


def _finding_block(text: str | None, finding: Finding) -> str:
    """One hypothesis: its numbers, the samples for it, and one against."""
    lines = [
        f"\n[bold]{escape(finding.hypothesis)}[/] is [bold]{escape(finding.value)}[/]: {finding.use}"
        f"{_synonyms(finding)}",
        f"  corrected {interval(finding.corrected)}, without the source itself {interval(finding.others)}",
        *_beside_ending(finding),
        f"  chance {finding.chance:.2f}, {finding.bits:.2f} bits, q {equals(finding.q_value)}",
        *([f"  [yellow]{finding.note}[/]"] if finding.note else []),
        f"  necessity {interval(finding.necessity)}, sufficiency {interval(finding.sufficiency)}",
        *(f"  {sample.distance:.2f}  {marked(text, sample.text or '')}" for sample in finding.supporting),
    ]
    if finding.against is not None:
        lines.append(f"  [dim]against:[/] {finding.against.distance:.2f}  {marked(text, finding.against.text or '')}")
    return "\n".join(lines)


def _beside_ending(finding: Finding) -> list[str]:
    """The line on inputs that are near in text alone; empty where there are none."""
    if math.isnan(finding.above_ending.value):
        return []
    apart = f"{interval(finding.above_ending)} above them"
    return [f"  inputs with the same last tokens {interval(finding.ending)}; {apart}"]


def _synonyms(finding: Finding) -> str:
    """Other names of the same fact, the first of them."""
    shown = ", ".join(finding.synonyms[:SYNONYMS])
    more = len(finding.synonyms) - SYNONYMS
    return f" [dim]({escape(shown)}{f' and {more} more' if more > 0 else ''} say the same here)[/]" if shown else ""


def _over_depth(finding: Finding | None) -> str:
    if finding is None or math.isnan(finding.corrected.value):
        return "–"
    value = short(max(0.0, finding.corrected.value))
    if not finding.above_chance:
        return f"[dim]{value}[/]"
    return f"[bold]{value}[/]" if finding.use == BOTH else value
