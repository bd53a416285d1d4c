"""Records of each step as a table, and tables for planning a larger run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from inversescope import files, records
from inversescope.cli.tables.cells import estimated, interval, recorded
from inversescope.records.levels import unreached_words
from inversescope.sites import Site
from inversescope.stats import design
from inversescope.verdicts import (
    BELOW_NOISE,
    MARGIN,
    NO_GENERATOR,
    NULL_FEATURE,
    NULL_PASSES,
    SIGNIFICANT,
    SOURCE_ALONE,
)
from inversescope.verdicts.comparison import LEVEL, NOT_APART
from inversescope.verdicts.wording import level, number, short, short_level, small

if TYPE_CHECKING:
    from inversescope.score.compare import Compared

COUNTING = ("generator", "weighted", "reference")  # methods by whose rows something may be claimed
SHOWN = 3  # hypotheses of a site
SAMPLES = (4, 8, 16, 32, 64, 128)  # of a target, and
TARGETS = (10, 24, 50, 100, 200, 500)  # for which a table of widths is made
_COLOURS = {"calibrated": "green", "copies": "red", "undertrained": "red", "cannot tell": "yellow"}


def headline(run: Path) -> Mapping[str, Any]:
    """The record of the finding that a reader would want first."""
    return files.read_json(files.verified(run / records.causal.HEADLINE.path))


def headline_lines(headline: Mapping[str, Any]) -> Group:
    """The finding, and the numbers behind it where there is one."""
    lines = [f"[bold]{escape(headline['sentence'])}[/]"]
    return Group(*lines, *([f"[dim]{escape(headline['numbers'])}[/]"] if headline["numbers"] else []))


def summary_table(run: Path, site: str | None = None) -> Group:
    """Each feature at a site, or at the generator's deepest where it has none there, in 80 columns: at the finest
    level, and at the finest ones where the reference can be relied on, and where a hash of the input is not above
    chance, too.
    """
    scores = files.read_json(files.verified(run / records.score.SUMMARY.path))["scores"]
    generated = {row["site"] for row in scores if row["method"] == "generator" and row["feature"] != NULL_FEATURE}
    if not generated:
        return _reference_table(scores, site)
    shown = site if site in generated else _deepest(generated)
    rows = {(row["method"], row["feature"], row["bandwidth"]): row for row in scores if row["site"] == shown}
    table = Table(box=None, pad_edge=False)
    for column in ("feature", "level", "generator", "others", "q", "reference", "nearest", "chance"):
        table.add_column(column, no_wrap=column != "feature")
    foot, signs = "", ""
    for feature in dict.fromkeys(row["feature"] for row in rows.values()):
        at_levels, reliable = _finest(rows, feature)
        for h in at_levels:
            generator, reference, nearest = (
                rows[key] for key in (("generator", feature, h), ("reference", feature, h), ("nearest", feature, None))
            )
            sign = _signs([rows[method, feature, h] for method in COUNTING])
            signs += sign
            cells = (estimated(generator), short(generator["others"]), small(generator["q_value"]))
            chances = (estimated(reference), short(nearest["fcr"]), short(generator["chance"]))
            table.add_row(escape(feature), short_level(generator) + sign, *cells, *chances)
        if reliable is not None:
            at = level(rows["generator", feature, reliable])
            foot = f"[dim]the reference counts as the truth from {at} on[/]"
    note = _notes(run, any(row["below_noise"] for row in scores), "*" in signs, "†" in signs)
    return Group(f"[bold]{shown}[/]: feature consistency rate \\[95% interval over targets]", table, foot, *note)


def _finest(rows: Mapping[tuple[str, str, Any], Mapping[str, Any]], feature: str) -> tuple[list[float], float | None]:
    """Bandwidths at which a feature is shown, of rows by method, feature and bandwidth; and the finest one at which the
    reference can be relied on, if there is one.
    """
    bandwidths = sorted(h for method, name, h in rows if (method, name) == ("generator", feature))
    reliable = [h for h in bandwidths if rows["reference", feature, h]["trusted"]]
    claimed = [h for h in reliable if not any(rows[method, feature, h]["null_passes"] for method in COUNTING)]
    return list(dict.fromkeys([bandwidths[0], *reliable[:1], *claimed[:1]])), next(iter(reliable), None)


def _signs(counting: Sequence[Mapping[str, Any]]) -> str:
    """Marks of a level at which nothing is claimed: `*` for the null feature, `†` for the source alone."""
    passes, alone = (any(row[name] for row in counting) for name in ("null_passes", "source_alone"))
    return "*" * passes + "†" * alone


def _deepest(sites: Iterable[str]) -> str:
    return max(sites, key=lambda site: Site.parse(site).depth)


def _notes(run: Path, below: bool, marked: bool, alone: bool) -> list[str]:
    """Lines below the table: limits of the run, and the meaning of its signs."""
    notes = [f"[dim]{noise_line(run)}; some bandwidths are {BELOW_NOISE}[/]"] if below else []
    notes += [f"[yellow]{escape(words)}[/]" for words in (unreached_words(run), reading(run).get("cut")) if words]
    notes.append("[dim]others: its corrected score among inputs other than the source; 0 is chance[/]")
    notes += [f"[dim]* nothing is claimed: {NULL_PASSES}[/]"] if marked else []
    notes += [f"[dim]† nothing is claimed: {SOURCE_ALONE}[/]"] if alone else []
    return notes


def _reference_table(scores: Sequence[Mapping[str, Any]], site: str | None) -> Group:
    """Each feature at a site of a run without a generator, else at the deepest: by the reference, at the finest level
    at which it can be relied on, else at the coarsest.
    """
    counted = [row for row in scores if row["method"] == "reference" and row["feature"] != NULL_FEATURE]
    if not counted:
        return Group("no feature was scored")
    shown = site or _deepest({row["site"] for row in counted})
    table = Table(box=None, pad_edge=False)
    for column in ("feature", "level", "reference", "others", "q", "chance"):
        table.add_column(column, no_wrap=column != "feature")
    for feature in dict.fromkeys(row["feature"] for row in counted):
        rows = [row for row in counted if (row["site"], row["feature"]) == (shown, feature)]
        rows.sort(key=lambda row: row["bandwidth"])
        row = next((row for row in rows if row["trusted"]), rows[-1])
        cells = (short(row["others"]), small(row["q_value"]), short(row["chance"]))
        table.add_row(escape(feature), short_level(row), estimated(row), *cells)
    head = f"[bold]{shown}[/]: feature consistency rate \\[95% interval over targets]"
    return Group(head, table, f"[dim]{escape(NO_GENERATOR)}[/]")


def reading(run: Path) -> Mapping[str, Any]:
    """Fate of the rows of a file of texts, or of the documents of a corpus; empty for other tasks."""
    paths = [run / record.path for record in (records.run.READING, records.run.CORPUS)]
    return next((files.read_json(path) for path in paths if files.written(path)), {})


def noise_line(run: Path) -> str:
    """The noise floor of the run's sites, and the bandwidths below it."""
    rows = files.read_table(run / records.collect.NOISE_FLOOR.path).to_pylist()
    worst = max(rows, key=lambda row: row["floor"])
    quantiles = f"{worst['floor']:.1g} (95%; median {worst['median']:.1g})"
    return f"noise floor: the same input in another batch is at δ {quantiles} at {worst['site']}, the worst site"


def outside_line(run: Path) -> str:
    """The targets that are outside of the prior, counted over the sites."""
    rows = files.read_table(run / records.collect.TARGETS.path).to_pylist()
    outside = [row for row in rows if row["outside"]]
    return f"{len(outside)} of {len(rows)} pairs of site and target are outside of the prior; one in 100 is expected"


def power_table(rate: float, alike: float, width: float) -> Group:
    """The half width of a rate's interval by targets and samples, and what is needed for `width`."""
    table = Table("samples of a target", *map(str, TARGETS), f"targets for ± {width:g}", box=None, pad_edge=False)
    needed = {samples: design.targets_needed(rate, alike, samples, width) for samples in SAMPLES}
    for samples, targets in needed.items():
        widths = [design.half_width(rate, alike, n, samples) for n in TARGETS]
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


def comparison_table(feature: str, names: Sequence[str], found: Compared) -> Group:
    """Two sides on the same targets, and their difference."""
    table = Table("", "consistency", "targets", box=None, pad_edge=False)
    for name, mean, targets in zip(names, found.means, found.targets, strict=True):
        table.add_row(escape(name), interval(mean), str(targets))
    table.add_row("difference", interval(found.difference), str(found.shared))
    undecided = math.isnan(found.p_value)
    tested = "equal on every target" if undecided else f"sign test p = {found.p_value:.3g}"
    words = {LEVEL: f"level: the whole interval lies within ± {MARGIN:g}", NOT_APART: "the two cannot be told apart"}
    words |= {side: f"{escape(name)} is ahead" for side, name in zip(("first", "second"), names, strict=True)}
    verdict = words.get(found.verdict or "", "")
    return Group(f"{escape(feature)}: feature consistency rate \\[95% interval over targets]", table, tested, verdict)


def verdict_table(run: Path) -> Group:
    """Verdicts of the calibration on every site and bandwidth, by query, and on the prior."""
    verdicts = files.read_json(files.verified(run / records.calibrate.VERDICTS.path))
    if verdicts["prior"] is None:
        return Group(NO_GENERATOR)
    table = Table(box=None, pad_edge=False)
    for column in ("site", "h", "query", "verdict", "KL", "in training / expected", "because"):
        table.add_column(column, no_wrap=column != "because")
    for row in files.read_table(run / records.calibrate.CALIBRATION.path).to_pylist():
        copied = f"{short(row['in_training'])} / {short(row['in_training_expected'])}"
        verdict = f"[{_COLOURS[row['verdict']]}]{row['verdict']}[/]"
        h, divergence = short_level(row), number(row["kl"])
        table.add_row(row["site"], h, row["query"], verdict, divergence, copied, escape(row["reason"]))
    truth = {"exact": "the exact distribution", "pool": "the posterior estimated over the inputs that were read"}
    return Group(f"compared with {truth[verdicts['truth']]}", table, _prior_line(verdicts["prior"]))


def _prior_line(prior: dict) -> str:
    """The draws without a condition against the prior, in a line."""
    divergence = "" if prior["kl"] is None else f"KL {prior['kl']:.3f} nats, total variation {prior['tv']:.3f}; "
    return f"no condition against the prior: {divergence}two-sample test p = {prior['p_value']:.2f}"


def causal_table(run: Path) -> Group:
    """Effects of other activations at each site, for the feature of the largest effect there; the sites without one
    stand below, with the reason.
    """
    rows = files.read_table(run / records.causal.EFFECTS.path).to_pylist()
    table = Table(box=None, pad_edge=False)
    for column in ("site", "feature", "necessity", "sufficiency", "KL same / other / random, nats"):
        table.add_column(column, no_wrap=column != "feature")
    without: dict[str, list[str]] = {}
    for site in dict.fromkeys(row["site"] for row in rows):
        here = [row for row in rows if row["site"] == site]
        row = max(here, key=lambda row: -math.inf if row["effect"] is None else row["effect"])
        if row["reason"]:
            without.setdefault(row["reason"], []).append(site)
            continue
        kl = " / ".join(number(row[f"kl_{kind}"]) for kind in ("same", "other", "random"))
        table.add_row(site, escape(row["feature"]), *(recorded(row, name) for name in ("necessity", "sufficiency")), kl)
    reasons = [f"[dim]{', '.join(sites)}: {escape(reason)}[/]" for reason, sites in without.items()]
    return Group("the feature of the largest effect at each site \\[95% interval over targets]", table, *reasons)


def hypotheses_table(run: Path) -> Group:
    """The first hypotheses of every site at the coarsest level that confirmed any."""
    rows = files.read_table(run / records.mine.HYPOTHESES.path).to_pylist()
    counts = files.read_json(files.verified(run / records.mine.SEARCH.path))
    if not counts["tried"]:
        return Group(NO_GENERATOR)
    table = Table(box=None, pad_edge=False)
    for column in ("site", "level", "hypothesis", "corrected", "bits", "q"):
        table.add_column(column, no_wrap=column != "hypothesis")
    for site in dict.fromkeys(row["site"] for row in rows):
        of_site = [row for row in rows if row["site"] == site]
        h = max(row["bandwidth"] for row in [row for row in of_site if row["significant"]] or of_site)
        for row in [row for row in of_site if row["bandwidth"] == h][:SHOWN]:
            style = "" if row["significant"] else "dim"
            cells = (estimated(row, "corrected"), number(row["bits"]), number(row["q_value"]))
            table.add_row(site, short_level(row), escape(row["words"]), *cells, style=style)
    halves = f"{len(counts['discovery'])} targets, confirmed on {len(counts['confirmation'])} others"
    head = (
        f"{counts['tried']} candidates, {counts['confirmed']} hypotheses found on {halves}; "
        f"dim: q above {SIGNIFICANT}, or nothing is claimed"
    )
    return Group(head, table, *not_tried(counts["not_tried"]))


def not_tried(missing: Mapping[str, str]) -> list[Text]:
    """A line with the kinds of candidates that were not tried, and what to install; none where all were.

    `missing`: kind -> remedy.
    """
    kinds: dict[str, list[str]] = {}
    for kind, remedy in missing.items():
        kinds.setdefault(remedy, []).append(kind)
    lines = "; ".join(f"{', '.join(named)}: {remedy}" for remedy, named in kinds.items())
    return [Text(f"not tried: {lines}")] if kinds else []
