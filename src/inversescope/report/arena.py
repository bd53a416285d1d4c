"""The arena's page and its LaTeX table, out of its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from inversescope import files, records
from inversescope.charts import elements
from inversescope.charts.arena import by_feature, identified
from inversescope.charts.page import embed, script
from inversescope.charts.rows import with_values
from inversescope.report.records import Row
from inversescope.verdicts import MARGIN
from inversescope.verdicts.comparison import LEVEL, NOT_APART
from inversescope.verdicts.wording import MINUS, level, number, of_row

OURS = ("ours", "ours weighted")
# Columns that are compared, each with its heading.
COLUMNS = {
    "accuracy": "identified",
    "corrected": "corrected score",
    "above_ending": "above same ending",
    "gap": "gap to the reference",
    "calibration_error": "calibration error",
    "causal_agreement": "causal agreement",
}


@dataclass(frozen=True)
class ArenaRecords:
    """Records of the arena. Rows of `results` that count, by method, site and feature; null: over all."""

    study: dict[str, Any]
    results: Mapping[tuple[str, str | None, str | None], Row]
    pairs: Mapping[tuple[str, str], Row]

    @property
    def methods(self) -> list[str]:
        """The methods, best first."""
        names = [method["name"] for method in self.study["methods"]]
        return sorted(names, key=lambda name: -(self.results[name, None, None]["accuracy"] or 0.0))

    def method(self, name: str) -> Row:
        """A method and its costs."""
        return next(record for record in self.study["methods"] if record["name"] == name)

    def against(self, one: str, other: str) -> Row | None:
        """The difference of two methods over all, seen from the first; None for a method and itself."""
        if (one, other) in self.pairs:
            return self.pairs[one, other]
        if (other, one) not in self.pairs:
            return None
        row = self.pairs[other, one]
        ends = {"difference": "difference", "difference_low": "difference_high", "difference_high": "difference_low"}
        turned = {name: None if row[end] is None else -row[end] for name, end in ends.items()}
        return {**row, **turned, "one": one, "other": other}


def load_arena(folder: Path) -> ArenaRecords:
    """The records in the arena's folder."""
    results = [row for row in files.read_table(folder / records.arena.RESULTS.name).to_pylist() if row["chosen"]]
    overall = [
        row
        for row in files.read_table(folder / records.arena.PAIRS.name).to_pylist()
        if (row["site"], row["feature"], row["measure"]) == (None, None, "accuracy")
    ]
    return ArenaRecords(
        files.read_json(files.verified(folder / records.arena.METHODS.name)),
        {(row["method"], row["site"], row["feature"]): row for row in results},
        {(row["one"], row["other"]): row for row in overall},
    )


def write_arena(folder: Path) -> list[Path]:
    """Write `arena.html` and `arena.tex` from the records in the folder, and give back their paths."""
    arena = load_arena(folder)
    made = {"arena.html": page(arena), "arena.tex": latex(arena)}
    for name, text in made.items():
        files.write(folder / name, lambda temporary, text=text: temporary.write_text(text, encoding="utf-8"))
    return [folder / name for name in made]


def page(arena: ArenaRecords) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": number, "interval": of_row, "amount": amount, "level": level}
    environment.filters |= {"size": size, "cut": cut}
    return environment.from_string(_asset("arena.html.j2")).render(
        records=arena,
        study=arena.study,
        headline=headline(arena),
        columns=COLUMNS,
        margin=f"{MARGIN:g}",
        style=elements.style() + _asset("report.css") + _asset("arena.css"),
        script=script(),
        charts=embed(charts(arena)),
    )


def charts(arena: ArenaRecords) -> dict[str, Any]:
    """The charts of the page, their values inside."""
    features = list(arena.study["features"])
    overall, of_features = _rows(arena, [None]), _rows(arena, features)
    return {
        "overall": with_values(identified(arena.methods), overall),
        "features": with_values(by_feature(arena.methods, features), of_features),
    }


def _rows(arena: ArenaRecords, features: Sequence[str | None]) -> list[dict[str, Any]]:
    names = ("accuracy", "accuracy_low", "accuracy_high", "silent", "answers")
    return [
        {
            "method": name,
            "feature": feature,
            **{column: arena.method(name)[column] for column in ("kind", "supervised")},
            **{column: arena.results[name, None, feature][column] for column in names},
        }
        for feature in features
        for name in arena.methods
    ]


def headline(arena: ArenaRecords) -> tuple[str, str]:
    """The outcome of the comparison for our method, and the numbers behind it; by stated rules."""
    names = arena.methods
    ours = [name for name in names if name in OURS][:1]
    if not ours or len(names) == 1:
        return f"{names[0]} identifies most", estimate(arena, names[0])
    own = ours[0]
    level = f"level (within ± {MARGIN:g}) with"
    verdicts: dict[str, list[str]] = {"ahead of": [], level: [], "not to be told apart from": [], "behind": []}
    for other in names:
        if other in OURS:
            continue
        row = arena.against(own, other)
        words = {own: "ahead of", other: "behind", LEVEL: level}
        ahead = row["ahead"] if row and row["ahead"] else NOT_APART
        verdicts[words.get(ahead, "not to be told apart from")].append(other)
    parts = [f"{words} {_listed(of_verdict)}" for words, of_verdict in verdicts.items() if of_verdict]
    shown = [own, *_best_others(arena)]
    return f"{own.capitalize()} is {'; '.join(parts)}", "; ".join(f"{name} {estimate(arena, name)}" for name in shown)


def _best_others(arena: ArenaRecords) -> list[str]:
    """The best of the others that see no labels, and of those that do."""
    others = [name for name in arena.methods if name not in OURS]
    kinds = {bool(arena.method(name)["supervised"]): name for name in reversed(others)}
    return [kinds[supervised] for supervised in (False, True) if supervised in kinds]


def estimate(arena: ArenaRecords, name: str) -> str:
    """A method's accuracy over all, in words."""
    return of_row(arena.results[name, None, None], "accuracy")


def latex(arena: ArenaRecords) -> str:
    """The main table for a paper; needs the package booktabs."""
    head = ["Method", *(words.capitalize() for words in COLUMNS.values()), "New/s", "Training (s)", "Steps", "Cut"]
    lines = [r"\begin{tabular}{l" + "r" * (len(head) - 1) + "}", r"\toprule", " & ".join(head) + r" \\", r"\midrule"]
    for name in arena.methods:
        row, costs = arena.results[name, None, None], arena.method(name)
        label = name + (r"$^\dagger$" if costs["supervised"] else "")
        cells = [_tex(row, column) for column in COLUMNS]
        cells += [amount(costs["new_per_second_with_training"]), amount(costs["training"])]
        cells += [f"{costs['steps']:,}", cut(costs)]
        lines.append(" & ".join([label, *(cell.replace("–", "--") for cell in cells)]) + r" \\")
    n, sites = arena.study["targets"], len(arena.study["sites"])
    note = rf"\multicolumn{{{len(head)}}}{{l}}{{\footnotesize $^\dagger$ Shown labels in training. "
    note += rf"Mean over {len(arena.study['features'])} features and {sites} sites; 95\% intervals over {n} targets. "
    note += "New/s: distinct verified inputs a second within the reference's typical distance, neither source nor "
    note += "training inputs, training included. Cut: trainings that the time ended before they no longer improved.}"
    return "\n".join([*lines, r"\bottomrule", note, r"\end{tabular}"]) + "\n"


def _tex(row: Row, name: str) -> str:
    if row[name] is None:
        return "--"
    ends = [row[f"{name}{end}"] for end in ("_low", "_high")]
    margin = "" if None in ends else rf" {{\scriptsize [{number(ends[0])}, {number(ends[1])}]}}"
    return f"{number(row[name])}{margin}".replace(MINUS, "$-$")


def amount(value: float | None) -> str:
    """Seconds, or how many a second: three digits at most where there are fewer than a thousand."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 or value == 0 else f"{value:.2g}"


def cut(cost: Row) -> str:
    """Number of a method's trainings that the time ended, of all."""
    return f"{cost['cut']} of {cost['fits']}" if cost["fits"] else "–"


def size(value: float | None) -> str:
    """Bytes as megabytes."""
    return "–" if value is None else f"{value / 1e6:,.0f} MB"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _asset(name: str) -> str:
    return (resources.files("inversescope.report") / "assets" / name).read_text(encoding="utf-8")
