"""Tables for the terminal. They read records, and compute nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
from numpy import ndarray
from rich.console import Group
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from inversescope import files, statistics
from inversescope.doctor import Check
from inversescope.sites import Site, SubjectShape

if TYPE_CHECKING:
    from inversescope.explain import Explanation, Finding
    from inversescope.inverter import Inversion
    from inversescope.needs import Needs
    from inversescope.subject.identities import Identity
    from inversescope.tasks import Entry

RELIABLE = 30  # effective sample size from which the reference is the truth that the generator must reproduce
SHOWN = 3  # hypotheses of a site
LEVEL = 0.05  # q up to which a hypothesis counts as confirmed
SAMPLES = (4, 8, 16, 32, 64, 128)  # of a target, and
TARGETS = (10, 24, 50, 100, 200, 500)  # for which a table of widths is made
_COLOURS = {"calibrated": "green", "undertrained": "red", "cannot tell": "yellow"}
_SIGNS = {True: "[green]ok[/]", False: "[red]missing[/]", None: "[yellow]limited[/]"}


def summary_table(run: Path) -> Group:
    """Each feature at the generator's deepest site, in 80 columns: at the smallest bandwidth, and at the smallest one
    where the reference can be relied on."""
    scores = files.read_json(run / "score" / "results.json")["scores"]
    generated = {row["site"] for row in scores if row["source"] == "generator"}
    if not generated:
        return Group("no feature was scored")
    deepest = max(generated, key=lambda site: Site.parse(site).depth)
    rows = {(row["source"], row["feature"], row["bandwidth"]): row for row in scores if row["site"] == deepest}
    table = Table(box=None, pad_edge=False)
    for column in ("feature", "h", "generator", "q", "reference", "nearest", "chance"):
        table.add_column(column, no_wrap=column != "feature")
    foot = ""
    for feature in dict.fromkeys(row["feature"] for row in rows.values()):
        bandwidths = sorted(h for source, name, h in rows if (source, name) == ("generator", feature))
        reliable = [h for h in bandwidths if rows["reference", feature, h]["ess"] >= RELIABLE][:1]
        for h in dict.fromkeys([bandwidths[0], *reliable]):
            generator = rows["generator", feature, h]
            others = [rows["reference", feature, h], rows["nearest", feature, None]]
            first = (escape(feature), f"{h:g}", _estimate(generator), _small(generator["q_value"]))
            table.add_row(*first, *map(_estimate, others), _share(generator["chance"]))
        if reliable:
            foot = f"[dim]reference: effective sample size {RELIABLE} or more from h = {reliable[0]:g} on[/]"
    return Group(f"[bold]{deepest}[/]: feature consistency rate \\[95% interval over targets]", table, foot)


def power_table(rate: float, alike: float, width: float) -> Group:
    """The half width of a rate's interval by targets and samples, and what is needed for `width`."""
    table = Table("samples of a target", *map(str, TARGETS), f"targets for ± {width:g}", box=None, pad_edge=False)
    needed = {samples: statistics.targets_needed(rate, alike, samples, width) for samples in SAMPLES}
    for samples, targets in needed.items():
        widths = [statistics.half_width(rate, alike, n, samples) for n in TARGETS]
        cells = [f"[green]{value:.3f}[/]" if value <= width else f"{value:.3f}" for value in widths]
        table.add_row(str(samples), *cells, f"{targets:,}")
    head = (
        f"consistency {rate:.2f}, intraclass correlation {alike:.2f}: ± half of the 95% interval, by number of targets"
    )
    draws = min(needed, key=lambda samples: (samples * needed[samples], samples))
    fewest = min(needed, key=lambda samples: (needed[samples], samples))
    return Group(head, table, *(
        f"{what}: {needed[samples]:,} targets with {samples} samples each, {samples * needed[samples]:,} draws"
        for what, samples in (("fewest draws", draws), ("fewest targets", fewest))
    ), "[dim]of independent samples: weighted ones count by their effective sample size. The corrected score's "
    "interval is this over (1 − chance)[/]")  # fmt: skip


def comparison_table(feature: str, names: Sequence[str], rates: Sequence[ndarray]) -> Group:
    """Two sets of rates of the same targets, and what one is more than the other."""
    table = Table("", "consistency", "targets", box=None, pad_edge=False)
    for name, values in zip(names, rates, strict=True):
        table.add_row(escape(name), _interval(statistics.mean(values, 0, 1)), str(int((~np.isnan(values)).sum())))
    difference = rates[0] - rates[1]
    p = statistics.sign_test(difference, np.random.default_rng(0))
    table.add_row("difference", _interval(statistics.paired(*rates)), str(int((~np.isnan(difference)).sum())))
    tested = "no target tells them apart" if math.isnan(p) else f"sign test p = {p:.3g}"
    return Group(f"{escape(feature)}: feature consistency rate \\[95% interval over targets]", table, tested)


def verdict_table(run: Path) -> Group:
    """What the generator's calibration says of every site, by query, and of the prior."""
    found = files.read_json(run / "calibrate" / "verdicts.json")
    table = Table(box=None, pad_edge=False)
    for column in ("site", "query", "verdict", "because"):
        table.add_column(column, no_wrap=column != "because")
    for site, queries in found["sites"].items():
        for query, verdict in queries.items():
            judgement = verdict["judgement"]
            table.add_row(site, query, f"[{_COLOURS[judgement]}]{judgement}[/]", escape(verdict["reason"]))
    truth = {"exact": "the exact distribution", "pool": "the reference from the pool: this prior was not enumerated"}
    return Group(f"compared with {truth[found['truth']]}", table, _prior_line(found["prior"]))


def causal_table(run: Path) -> Group:
    """What runs with other activations say of each site, for the feature of the largest effect there."""
    rows = pq.read_table(run / "causal" / "effects.parquet").to_pylist()
    table = Table(box=None, pad_edge=False)
    for column in ("site", "feature", "necessity", "sufficiency", "KL same / other / random, nats"):
        table.add_column(column, no_wrap=column != "feature")
    for site in dict.fromkeys(row["site"] for row in rows):
        here = [row for row in rows if row["site"] == site]
        row = max(here, key=lambda row: -math.inf if row["effect"] is None else row["effect"])
        if row["reason"]:
            table.add_row(site, f"[dim]{escape(row['reason'])}[/]")
            continue
        kl = " / ".join(_number(row[f"kl_{kind}"]) for kind in ("same", "other", "random"))
        table.add_row(
            site, escape(row["feature"]), *(_recorded(row, name) for name in ("necessity", "sufficiency")), kl
        )
    return Group("the feature of the largest effect at each site \\[95% interval over targets]", table)


def _recorded(row: dict, name: str) -> str:
    value, low, high = (_number(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    return f"{value} \\[{low} {high}]"


def hypotheses_table(run: Path) -> Group:
    """The first hypotheses of every site at the largest bandwidth that confirmed any: what is told even from afar."""
    rows = pq.read_table(run / "mine" / "hypotheses.parquet").to_pylist()
    counts = files.read_json(run / "mine" / "search.json")
    table = Table(box=None, pad_edge=False)
    for column in ("site", "h", "hypothesis", "corrected", "bits", "q"):
        table.add_column(column, no_wrap=column != "hypothesis")
    for site in dict.fromkeys(row["site"] for row in rows):
        found = [row for row in rows if row["site"] == site]
        h = max(row["bandwidth"] for row in [row for row in found if _confirmed(row)] or found)
        for row in [row for row in found if row["bandwidth"] == h][:SHOWN]:
            style = "" if _confirmed(row) else "dim"
            cells = (_estimate(row, "corrected"), _number(row["bits"]), _number(row["q_value"]))
            table.add_row(site, f"{h:g}", escape(row["words"]), *cells, style=style)
    halves = f"{len(counts['discovery'])} targets, confirmed on {len(counts['confirmation'])} others"
    head = f"{counts['tried']} candidates, {counts['confirmed']} hypotheses found on {halves}; dim: q above {LEVEL}"
    return Group(head, table)


def _confirmed(row: dict) -> bool:
    return row["q_value"] is not None and row["q_value"] <= LEVEL


def _prior_line(prior: dict) -> str:
    """What the null condition gives, in a line."""
    known = "" if prior["kl"] is None else f"KL {prior['kl']:.3f} nats, total variation {prior['tv']:.3f}; "
    return f"no condition against the prior: {known}two-sample test p = {prior['p_value']:.2f}"


def arena_table(folder: Path) -> Group:
    """Each method over all sites and features, best first, in 80 columns."""
    from inversescope.report.arena import amount, load_arena
    from inversescope.report.findings import interval

    records = load_arena(folder)
    table = Table(box=None, pad_edge=False)
    for column in ("method", "identified", "corrected", "train s", "samples/s"):
        table.add_column(column, no_wrap=True)
    for name in records.methods:
        row, cost = records.results[name, None, None], records.competitor(name)
        seen = "†" if cost["supervised"] else ""
        estimates = (escape(interval(row, measure)) for measure in ("accuracy", "corrected"))
        table.add_row(name + seen, *estimates, amount(cost["training"]), amount(cost["verified"]))
    targets = f"{records.study['targets']} targets, {len(records.study['sites'])} sites"
    return Group(
        f"share of labels identified \\[95% interval over targets], {targets}", table, "[dim]†: was shown labels[/]"
    )


def inversion_table(inversion: Inversion) -> Group:
    """The samples of one inversion, nearest first."""
    head = (
        f"[bold]{escape(inversion.text)}[/]{inversion.cut_off}\n{inversion.site}, h = {inversion.bandwidth:g}: "
        f"{len(inversion.samples)} samples, "
        f"acceptance {inversion.acceptance:.2f}, effective sample size {inversion.effective_sample_size:.1f}, "
        f"Pareto k̂ {_number(inversion.pareto_k)}"
    )
    if inversion.unreliable:
        head += "\n[yellow]unreliable: the weights have a heavy tail for so few samples; draw more with -n[/]"
    table = Table("δ", "weight", "accepted", "sample")
    for sample in inversion.samples:
        text = "[dim]never ended[/]" if sample.text is None else _marked(inversion.text, sample.text)
        table.add_row(_number(sample.distance), _number(sample.weight), "yes" if sample.accepted else "", text)
    shared = Table("feature", "source", "weight of the samples that share it")
    for name, value in inversion.labels.items():
        shared.add_row(escape(name), escape(value or "undecided"), _number(inversion.shared(name)))
    return Group(head, table, shared)


def proposals_table(run: Path, site: str, bandwidth: float) -> Group:
    """The proposed hypotheses of a site at a bandwidth, the surest first, and what they cost."""
    rows = pq.read_table(run / "propose" / "proposals.parquet").to_pylist()
    mine = [row for row in rows if (row["site"], row["bandwidth"]) == (site, bandwidth)]
    usage = files.read_json(run / "propose" / "usage.json")
    table, rest = Table(box=None, pad_edge=False), []
    for column in ("hypothesis", "corrected \\[95%]", "shuffled", "q", "targets"):
        table.add_column(column, no_wrap=column != "hypothesis")
    for row in sorted(mine, key=surest):
        words = f"{escape(row['words'])}\n[dim]{escape(row['feature'])}[/]"
        if row["status"] == "scored":
            estimate = (
                f"{_number(row['corrected'])} \\[{_number(row['corrected_low'])} {_number(row['corrected_high'])}]"
            )
            table.add_row(words, estimate, _number(row["shuffled"]), _small(row["q_value"]), str(row["targets"]))
        else:
            rest.append(f"[yellow]{row['status']}[/]: {words}\n{escape(row['reason'])}")
    if usage["stopped"]:
        rest.append(f"[yellow]stopped early[/]: {escape(usage['stopped'])}")
    counts = f"{usage['unparsed']} replies could not be read, {usage['malformed']} hypotheses are malformed"
    foot = f"[dim]{usage['calls']} calls answered until now; this time {counts}[/]"
    return Group(f"[bold]{escape(site)}[/], h = {bandwidth:g}, on targets that were not shown", table, *rest, foot)


def surest(row: dict) -> float:
    """What proposed hypotheses are sorted by: the lower end of the corrected score, the undefined last."""
    return math.inf if row["corrected_low"] is None else -row["corrected_low"]


def explanation_table(explanation: Explanation) -> Group:
    """The hypotheses of one site with their samples; of several, where each is above chance."""
    head = (
        f"[bold]{escape(explanation.text)}[/]\nh = {explanation.bandwidth:g}; half of the draws proposed, half confirm"
    )
    if len(explanation.sites) == 1:
        (only,) = explanation.sites
        blocks = [_finding_block(explanation.text, finding) for finding in only.findings if finding.above_chance]
        rest = len(only.findings) - len(blocks)
        foot = f"[dim]{rest} more that cannot be told from chance[/]" if rest else ""
        verdict = "" if only.verdict in (None, "calibrated") else f" [yellow](the generator here: {only.verdict})[/]"
        return Group(f"{head}\n{only.site}{verdict}", *(blocks or ["no hypothesis is above chance"]), foot)
    series = {Site.parse(each.site).series for each in explanation.sites}
    table = Table(*series if len(series) == 1 else ["hypothesis"], box=None, pad_edge=False)
    for each in explanation.sites:
        place = each.site.removeprefix(f"{next(iter(series))}.") if len(series) == 1 else each.site
        table.add_column(place, no_wrap=True)
    for name, row in explanation.table().items():
        table.add_row(escape(name), *(_over_depth(row.get(each.site)) for each in explanation.sites))
    return Group(head, table, "[dim]corrected score; dim: not above chance; –: the samples' weights have collapsed[/]")


def _finding_block(text: str, finding: Finding) -> str:
    """One hypothesis: its numbers, the samples for it, and one against."""
    value, low, high = (_number(number) for number in finding.corrected)
    necessity, sufficiency = (_number(None if math.isnan(x) else x) for x in (finding.necessity, finding.sufficiency))
    lines = [
        f"\n[bold]{escape(finding.hypothesis)}[/] is [bold]{escape(finding.value)}[/]",
        f"  corrected {value} \\[{low} {high}], chance {finding.chance:.2f}, {finding.bits:.2f} bits, "
        f"q = {finding.q_value:.3f}; necessity {necessity}, sufficiency {sufficiency}",
        *(f"  {sample.distance:.2f}  {_marked(text, sample.text or '')}" for sample in finding.supporting),
    ]
    if finding.against is not None:
        lines.append(f"  [dim]against:[/] {finding.against.distance:.2f}  {_marked(text, finding.against.text or '')}")
    return "\n".join(lines)


def _over_depth(finding: Finding | None) -> str:
    if finding is None or math.isnan(finding.corrected.value):
        return "–"
    value = _share(max(0.0, finding.corrected.value))
    return value if finding.above_chance else f"[dim]{value}[/]"


def sites_table(name: str, shape: SubjectShape, points: Sequence[str]) -> Table:
    """The addresses that exist in a subject of this shape that has these points."""
    table = Table("point", "addresses", "how many", "coordinates", title=f"sites of {name}", title_justify="left")
    for point in points:
        limits = [limit for _, limit in shape.numbers(point)]
        first, last = (".".join([point, *map(str, end)]) for end in ([0] * len(limits), [n - 1 for n in limits]))
        addresses = f"{first} to {last}" if limits else point
        table.add_row(point, addresses, str(math.prod(limits)), str(shape.coordinates(point)))
    return table


def identities_table(name: str, identities: Sequence[Identity]) -> Group:
    """What was measured of each identity, and which points are refused."""
    table = Table("", "identity", "relative error", "allowed", title=f"identities of {name}", title_justify="left")
    signs = {True: "[green]ok[/]", False: "[red]fails[/]", None: "[dim]–[/]"}
    for identity in identities:
        error = "not examined" if identity.error is None else f"{identity.error:.1e}"
        allowed = "" if identity.allowed is None else f"{identity.allowed:g}"
        table.add_row(signs[identity.ok], escape(identity.name), error, allowed)
    failed = dict.fromkeys(point for identity in identities if identity.ok is False for point in identity.points)
    return Group(
        table, f"[red]refused: {', '.join(failed)}[/]" if failed else "every identity that can be examined holds"
    )


def doctor_table(checks: Sequence[Check]) -> Table:
    """What was examined, what was found, and what to do."""
    table = Table("", "what", "found", "what to do")
    for check in checks:
        table.add_row(_SIGNS[check.ok], check.name, escape(check.found), escape(check.remedy or ""))
    return table


def needs_table(needs: Needs) -> Group:
    """What a run will need: of what, on the disk, in memory, and how long."""
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
    where = {split: f"{count} ({coordinates:,} numbers)" for split, (count, coordinates) in needs.sites.items()}
    table.add_row("sites", f"{where['pool']}; the generator's: {where['train']}")
    table.add_row("disk", f"{_parts(needs.disk)}; until training ends, {decimal(needs.checkpoint)} more (checkpoint)")
    table.add_row("memory" if needs.beside is None else f"on {needs.device}", _parts(needs.memory))
    if needs.beside is not None:
        table.add_row("memory", _parts(needs.beside))
    seconds = needs.seconds
    steps = "" if seconds is None else ", ".join(f"{step} {minutes(value)}" for step, value in seconds.items())
    table.add_row("time", needs.measured if seconds is None else f"about {minutes(sum(seconds.values()))}: {steps}")
    if seconds is not None:
        table.add_row("", f"[dim]{needs.measured}; not counted: task, reference, mine, score, report[/]")
    return Group(table)


def _parts(parts: Mapping[str, int]) -> str:
    """Bytes in all, and what they are made of."""
    return f"{decimal(sum(parts.values()))}: " + ", ".join(f"{name} {decimal(size)}" for name, size in parts.items())


def minutes(seconds: float) -> str:
    """Seconds, minutes or hours, in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def tasks_table(entries: Iterable[Entry]) -> Table:
    """Each task by its name, with what its config says of itself."""
    table = Table("task", "what it is", box=None, pad_edge=False)
    for entry in entries:
        table.add_row(entry.name, escape((entry.config.__doc__ or "").split("\n\n")[0]))
    return table


def task_table(entry: Entry) -> Table:
    """The keys of a task's section in a config, with their defaults."""
    table = Table("key", "default", "what it says", box=None, pad_edge=False)
    for key, field in entry.config.model_fields.items():
        default = "(needed)" if field.is_required() else json.dumps(field.default, default=str, ensure_ascii=False)
        table.add_row(key, escape(default), escape(field.description or ""))
    return table


def _marked(source: str, text: str) -> str:
    from difflib import SequenceMatcher

    old, new = source.split(), text.split()
    parts = []
    for kind, _, _, start, end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        words = escape(" ".join(new[start:end]))
        if words:
            parts.append(words if kind == "equal" else f"[bold]{words}[/]")
    return " ".join(parts)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _share(value: float | None) -> str:
    """A number up to 1 in three characters, or with a sign in four."""
    return "–" if value is None else "1.0" if value >= 0.995 else f"{value:.2f}".replace("0.", ".", 1)


def _interval(estimate: statistics.Estimate) -> str:
    value, *ends = (_number(None if math.isnan(number) else number) for number in estimate)
    return f"{value} \\[{' '.join(ends)}]"


def _small(value: float | None) -> str:
    """A number from 0 to 1 of which only matters how close to 0 it is, in four characters."""
    return "<.01" if value is not None and value < 0.01 else _share(value)


def _estimate(row: dict, name: str = "fcr") -> str:
    value, low, high = (_share(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    return value if row[f"{name}_low"] is None else f"{value} \\[{low} {high}]"
