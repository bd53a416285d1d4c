"""Charts of a finished run: `run.plot.layers(feature)`."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from inversescope.charts import rows
from inversescope.charts.chart import Chart
from inversescope.charts.heads import heads
from inversescope.charts.layers import layers
from inversescope.charts.overview import overview
from inversescope.charts.parts import MEASURES
from inversescope.charts.text import natural_text
from inversescope.errors import UserError
from inversescope.records.levels import level as level_of
from inversescope.report.records import Records, load
from inversescope.report.text import CURVES
from inversescope.sites import Site


class Plots:
    """Charts of a run, each from its records. A level is a resolution, or a bandwidth where the run has these; without
    one, that of the headline.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def overview(self, *, level: float | None = None, measure: str = "corrected", point: str = "resid_post") -> Chart:
        """All features over the layers.

        Raises:
            UserError: the run is not finished, or has no such level, measure or point.
        """
        made = overview(self._depth, self._records.features, measure=_one("measure", measure, list(MEASURES)))
        return self._chart(made, {"level": self._level(level), "point": self._point(point)})

    def layers(
        self, feature: str, *, level: float | None = None, measure: str = "corrected", point: str = "resid_post"
    ) -> Chart:
        """One feature over the layers.

        Raises:
            UserError: the run is not finished, or has no such feature, level, measure or point.
        """
        made = layers(self._depth, _one("measure", measure, list(MEASURES)), point)
        choices = {"feature": self._feature(feature), "level": self._level(level), "point": self._point(point)}
        return self._chart(made, choices)

    def heads(
        self, feature: str, *, level: float | None = None, measure: str = "corrected", method: str = "reference"
    ) -> Chart:
        """One feature over layers and heads.

        Raises:
            UserError: the run is not finished, has no sites of heads, or no such feature, level, measure or method.
        """
        of_heads = [row for row in self._scores if row["head"] is not None]
        if not of_heads:
            raise UserError(
                "the run has no sites of single heads", given=self._folder, remedy="run.plot.layers(feature)"
            )
        methods = list(dict.fromkeys(row["method"] for row in of_heads))
        made = heads(self._depth, 1 + max(row["head"] for row in of_heads), _one("measure", measure, list(MEASURES)))
        choices = {
            "feature": self._feature(feature),
            "level": self._level(level),
            "heads": _one("method", method, methods),
        }
        return self._chart(made, choices)

    def text(self) -> Chart:
        """Natural text: mean distance of each method over the sites.

        Raises:
            UserError: the run has no natural text, or is not finished.
        """
        compared = self._records.text_compared
        if not compared:
            remedy = "text.sites in the config of a run"
            raise UserError("the run has no natural text", given=self._folder, remedy=remedy)
        sites = [str(site) for site in sorted({Site.parse(row["site"]) for row in compared}, key=lambda s: s.depth)]
        methods = [name for name in dict.fromkeys(row["method"] for row in compared) if name in CURVES]
        made = natural_text(sites, methods)
        return Chart(made, rows.select(compared, made, {}))

    @cached_property
    def _records(self) -> Records:
        return load(self._folder)

    @cached_property
    def _scores(self) -> list[dict[str, Any]]:
        return rows.of_scores(self._records.scores, self._records.used)

    @property
    def _depth(self) -> int:
        return 1 + max((row["layer"] for row in self._scores if row["layer"] is not None), default=0)

    def _chart(self, made: rows.Spec, choices: dict[str, Any]) -> Chart:
        level = None if choices["level"] is None else self._records.level_words(choices["level"])
        about = ", ".join(words for words in (choices.get("feature"), level) if words)
        title = f"{about}: {made['title']}" if about else made["title"]
        return Chart({**made, "title": title}, rows.select(self._scores, made, choices))

    def _feature(self, name: str) -> str:
        return _one("feature", name, self._records.features)

    def _level(self, number: float | None) -> float | None:
        return level_of(self._records.headline) if number is None else _one("level", number, self._records.levels)

    def _point(self, name: str) -> str:
        whole = [row["point"] for row in self._scores if row["head"] is None]
        return _one("point", name, list(dict.fromkeys(whole)))


def _one(what: str, given: Any, allowed: list[Any]) -> Any:
    if given not in allowed:
        raise UserError(f"the run has no such {what}", given=given, allowed=", ".join(map(str, allowed)) or "none")
    return given
