"""Record of an explanation: findings, by site. Undefined is NaN here, and null in JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from inversescope import files
from inversescope.charts.answer import over_sites
from inversescope.charts.chart import Chart
from inversescope.charts.widget import Part, Shown
from inversescope.errors import UserError
from inversescope.explain.groups import Grouped
from inversescope.inverter import Inversion, InvertedSample
from inversescope.report.explanation import write_explanation
from inversescope.stats.intervals import Estimate
from inversescope.verdicts import wording
from inversescope.verdicts.used import BOTH


@dataclass(frozen=True)
class Finding:
    """One hypothesis about one activation, scored on the confirming draws.

    Attributes:
        hypothesis: the feature, by name or as an expression.
        synonyms: other hypotheses that say the same here: they agree on the draws, and go together in the prior.
        words: the expression in words; empty for a feature of the task.
        value: the source's label.
        chance: the prior's share of that label.
        share: the weight of the samples that have it, with its 95% interval; undefined where weights have collapsed.
        corrected: (share − chance) / (1 − chance); 0 is chance, 1 is fully determined.
        others: the corrected score among draws other than the source itself; undefined where these have less than a
            hundredth of the weight.
        ending: the corrected score among other inputs of the prior with the same last tokens (control `same ending`);
            undefined for a vector, and where too few inputs have them.
        above_ending: `others` minus `ending`: above 0 for certain, it is more than the text near the position.
        bits: drop in the entropy of the label, from the prior to the draws.
        p_value: probability that chance alone gives as many draws with the label.
        q_value: the same over all hypotheses and sites of the explanation (Benjamini and Hochberg).
        null_passes: a hash of the input with the same chance level, or the features', is above chance on these draws.
        source_alone: the corrected score is above chance, and that of the other draws is not.
        above_chance: neither of these two, the interval lies above chance, and the q-value is small enough.
        note: contradiction of score and bits, or that the ending alone says as much; None where there is neither.
        sufficiency, necessity: of activations with the same label, and with another, put in place of the source's,
            with their 95% intervals over donors; undefined where the site cannot be set, where that does nothing, or
            where no donor has the label, and without an interval where too few have.
        use: `encoded and used`, `encoded, unused`, `neither` or `cannot tell`, as in a run's `causal/used.parquet`.
        reason: the measurement that decided it.
        supporting: the nearest distinct samples with the source's label.
        against: the heaviest sample with another.
    """

    hypothesis: str
    synonyms: tuple[str, ...]
    words: str
    value: str
    chance: float
    share: Estimate
    corrected: Estimate
    others: Estimate
    ending: Estimate
    above_ending: Estimate
    bits: float
    p_value: float
    q_value: float
    null_passes: bool
    source_alone: bool
    above_chance: bool
    note: str | None
    sufficiency: Estimate
    necessity: Estimate
    use: str
    reason: str
    supporting: tuple[InvertedSample, ...]
    against: InvertedSample | None

    def __repr__(self) -> str:
        score = f"corrected score {wording.interval(*self.corrected)}"
        return f"Finding({self.hypothesis!r}: {self.value!r}, {score}, {self.use})"


def _ends(estimate: Mapping[str, Any]) -> dict[str, Any]:
    """An estimate under the names that tables and charts have."""
    return {name if name == "value" else f"value_{name}": value for name, value in estimate.items()}


@dataclass(frozen=True)
class SiteExplained:
    """One site: its confirming draws, and the hypotheses, those that are used first, then the surest.

    `verdict` is that of the run's calibration at the site and this bandwidth; None where it was not measured there. An
    activation outside of the prior (`inversion.outside`) has neither verdict nor finding. `grouped`: its draws by
    the subject's state after the last block.
    """

    site: str
    verdict: str | None
    inversion: Inversion
    null: Estimate
    null_passes: bool
    findings: tuple[Finding, ...]
    grouped: Grouped

    @property
    def more_than_one(self) -> str:
        """Note where the draws fall into several groups; empty elsewhere."""
        found = self.grouped.groups
        if len(found) < 2:
            return ""
        by = "no feature that was tried separates them"
        if self.grouped.feature is not None:
            by = f"separated by {self.grouped.feature} ({wording.number(self.grouped.separated)})"
        return f"more than one meaning: {len(found)} groups of draws (p {wording.equals(self.grouped.p_value)}), {by}"

    def __repr__(self) -> str:
        above = sum(finding.above_chance for finding in self.findings)
        return f"SiteExplained({self.site}: {len(self.findings)} findings, {above} above chance)"


@dataclass(frozen=True)
class Explanation(Shown):
    """Findings about the activations of one text at one position, site by site in order of depth.

    `text` is the source input, up to the position that was read; `made_by`: version, model, run and seeds.
    """

    text: str
    sites: tuple[SiteExplained, ...]
    made_by: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        found = f"{len(self.sites)} sites, {len(self.table())} hypotheses above chance"
        return f"Explanation({wording.shortened(self.text)!r}: {found})"

    def _repr_html_(self) -> str:
        def cell(finding: Finding | None) -> str:
            if finding is None or not finding.above_chance:
                return "<td></td>"
            words = wording.number(finding.corrected.value) + (" <b>used</b>" if finding.use == BOTH else "")
            return f"<td title='{escape(wording.interval(*finding.corrected))}'>{words}</td>"

        head = "".join(f"<th>{escape(each.site)}</th>" for each in self.sites)
        rows = [
            f"<tr><th style='text-align:left'>{escape(name)}</th>"
            + "".join(cell(found.get(each.site)) for each in self.sites)
            + "</tr>"
            for name, found in self.table().items()
        ]
        return (
            f"<p><bdi><b>{escape(wording.visible(self.text))}</b></bdi><br>Corrected score of each hypothesis that is "
            f"above chance at a site; 0 is chance, 1 is fully determined.</p>"
            f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>"
        )

    def table(self) -> dict[str, dict[str, Finding]]:
        """Mapping hypothesis -> site -> finding, of those above chance at any site: those that are used at one first,
        in order of appearance.
        """
        above = [f for explained in self.sites for f in explained.findings if f.above_chance]
        appeared = {f.hypothesis: None for f in sorted(above, key=lambda f: f.use != BOTH)}
        by_site = {explained.site: {f.hypothesis: f for f in explained.findings} for explained in self.sites}
        return {name: {site: row[name] for site, row in by_site.items() if name in row} for name in appeared}

    def chart(self) -> Chart:
        """Chart of the corrected score of each hypothesis that is above chance at a site, over the sites."""
        rows = [
            {"site": site, "hypothesis": name, "use": finding.use, **_ends(files.plain(finding.corrected._asdict()))}
            for name, row in self.table().items()
            for site, finding in row.items()
        ]
        title = f"corrected score: {wording.shortened(self.text)}"
        return Chart(over_sites([each.site for each in self.sites], list(self.table()), title), rows)

    def _shown(self) -> tuple[list[Part], str | None]:
        columns = {"hypothesis": "hypothesis", "site": "site", "value": "corrected score", "use": "encoded and used?"}
        made, about = self.chart(), wording.visible(self.text)
        if not made.values:
            return [{"text": about}, {"text": "No hypothesis is above chance."}], self._repr_html_()
        return [{"text": about}, made.part(), {"columns": columns, "rows": made.values}], self._repr_html_()

    def record(self) -> dict[str, Any]:
        """The explanation as JSON has it."""
        record = files.plain(asdict(self))
        for explained, of_site in zip(self.sites, record["sites"], strict=True):
            of_site["inversion"] = explained.inversion.record()
            of_site["more_than_one"] = explained.more_than_one
        return record

    def to_json(self) -> str:
        """The record as text."""
        return json.dumps(self.record(), indent=2, ensure_ascii=False)

    def save(self, path: Path | str) -> None:
        """Write the record to a .json file; or a page to an .html file, with the record in a .json file beside it.

        Raises:
            UserError: a file cannot be written, or has another ending.
        """
        path = Path(path)
        if path.suffix == ".json":
            files.write_json(path, self.record())
        elif path.suffix == ".html":
            write_explanation(self.record(), path)
        else:
            allowed = "a name that ends in .html or .json"
            raise UserError("an explanation is saved as a page or as JSON", given=path, allowed=allowed)
