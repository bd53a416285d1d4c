"""Records of a finished run, read once: tables as rows, JSON as it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from inversescope import files, records
from inversescope.errors import UserError
from inversescope.records.levels import finest_first, level, unreached_words
from inversescope.sites import Site
from inversescope.verdicts import NULL_FEATURE

Row = Mapping[str, Any]

RESULTS = ("results.parquet", "results.json")  # in run/score; copied beside the report
_USED, _EFFECTS = records.causal.USED, records.causal.EFFECTS
# Columns of `causal/effects.parquet` that stand beside those of `causal/used.parquet`.
_MEASURED = [name for name in _EFFECTS.names if name not in _USED.names and not name.endswith(records.ENDS[1:])]
# Columns of `verify/samples.parquet` that the report leaves on the disk: most of it, in a large run.
_UNSHOWN = ("tokens", "log_q", "log_prior", "in_train", "pareto_k", "times", "log_normaliser", "log_floor")


@dataclass(frozen=True)
class Records:
    """The records of one run that the report shows, rows in the order of the files; None means undefined."""

    run: Path
    config: dict[str, Any]
    provenance: dict[str, Any]
    accuracy: dict[str, Any]
    reading: dict[str, Any] | None
    scores: list[Row]
    diagnostics: list[Row]
    distances: list[Row]
    quality: list[Row]
    by_distance: list[Row]
    worst_targets: list[Row]
    used: list[Row]
    headline: dict[str, Any]
    calibration: list[Row]
    hypotheses: list[Row]
    search: dict[str, Any]
    verdicts: dict[str, Any]
    targets: dict[int, Row]
    of_targets: list[Row]
    samples: pa.Table
    unreached: str | None
    proposals: list[Row]
    disentangled: list[Row]
    text_compared: list[Row]

    @property
    def features(self) -> list[str]:
        """Every feature scored but the null feature, in the order of the records."""
        return [name for name in dict.fromkeys(row["feature"] for row in self.scores) if name != NULL_FEATURE]

    @property
    def null_scores(self) -> dict[str, dict[float | None, Row]]:
        """The null feature's score at each site and level: by the weighted samples, else by the reference."""
        null = [row for row in self.scores if row["feature"] == NULL_FEATURE]
        by_site: dict[str, dict[float | None, Row]] = {}
        for method in ("reference", "weighted"):  # the later one stands in the place of the earlier
            for row in null:
                if row["method"] == method:
                    by_site.setdefault(row["site"], {})[level(row)] = row
        return by_site

    @cached_property
    def levels(self) -> list[float]:
        """Every level of the run by its number (`levels.level`), the finest first."""
        return finest_first((*self.scores, *self.diagnostics))

    @property
    def by_resolution(self) -> bool:
        """True where the levels are resolutions; else they are bandwidths."""
        return any(row["resolution"] is not None for row in (*self.scores, *self.diagnostics))

    def level_words(self, number: float) -> str:
        """A level as people read it: the share of the prior, or the bandwidth."""
        return f"1 in {number:g}" if self.by_resolution else f"h = {number:g}"

    @cached_property
    def counting_samples(self) -> pa.Table:
        """The samples of the sites and bandwidths at which acceptance has a meaning."""
        schema = pa.schema([self.samples.schema.field(name) for name in ("site", "bandwidth")])
        counting = [row for row in self.diagnostics if row["acceptance_counts"]]
        cells = pa.Table.from_pylist([{name: row[name] for name in schema.names} for row in counting], schema)
        wanted = pa.array(_cells(cells).to_pylist(), pa.string())
        return self.samples.append_column("cell", _cells(self.samples)).filter(pc.field("cell").isin(wanted))

    @property
    def outside(self) -> list[Row]:
        """The pairs of site and target that are outside of the prior."""
        return [row for row in self.of_targets if row["outside"]]

    @property
    def exact(self) -> bool:
        """True where the reference is the exact distribution, because every input of the prior was read."""
        return self.verdicts["truth"] == "exact"

    @property
    def neighbourhood(self) -> dict[str, str]:
        """Distance and kernel of the run."""
        return {"distance": "standardized", "kernel": "gaussian"} | self.config.get("neighbourhood", {})

    @property
    def generator_sites(self) -> list[str]:
        """The sites for which the generator was sampled, in order of depth."""
        return _by_depth(self.diagnostics)

    @property
    def scored_sites(self) -> list[str]:
        """The sites at which features were scored, in order of depth."""
        return _by_depth(self.scores)


def _cells(table: pa.Table) -> pa.ChunkedArray:
    """Site and bandwidth of each row, as one text."""
    return pc.call_function("binary_join_element_wise", [table["site"], table["bandwidth"].cast(pa.string()), " "])


def _by_depth(rows: list[Row]) -> list[str]:
    sites = {Site.parse(row["site"]) for row in rows}
    return [str(site) for site in sorted(sites, key=lambda site: site.depth)]


def load(run: Path) -> Records:
    """Read the records of a finished run.

    Raises:
        UserError: a record is missing, unreadable, or lacks a column.
    """
    targets = _table(run, records.collect.INPUTS).filter(pc.field("split") == "target").to_pylist()
    for name in RESULTS:
        _existing(run / "score" / name)
    return Records(
        run=run,
        config=files.read_sealed(_existing(run / records.run.RESOLVED.path)),
        provenance=files.read_sealed(_existing(run / records.run.PROVENANCE.path)),
        accuracy=_json(run, records.run.ACCURACY),
        reading=_reading(run),
        scores=_rows(run, records.score.RESULTS),
        diagnostics=_rows(run, records.score.DIAGNOSTICS),
        distances=_rows(run, records.score.DISTANCES),
        quality=_rows(run, records.score.QUALITY),
        by_distance=_rows(run, records.score.BY_DISTANCE),
        worst_targets=_rows(run, records.score.WORST_TARGETS),
        used=_used(run),
        headline=_json(run, records.causal.HEADLINE),
        calibration=_rows(run, records.calibrate.CALIBRATION),
        hypotheses=_rows(run, records.mine.HYPOTHESES),
        search=_json(run, records.mine.SEARCH),
        verdicts=_json(run, records.calibrate.VERDICTS),
        targets={row["row"]: row for row in targets},
        of_targets=_rows(run, records.collect.TARGETS),
        samples=_table(run, records.verify.SAMPLES, _UNSHOWN, pc.field("method") == "generator"),
        unreached=unreached_words(run),
        proposals=_on_request(run, records.propose.PROPOSALS),
        disentangled=_on_request(run, records.disentangle.RESULTS),
        text_compared=_on_request(run, records.text.COMPARISON),
    )


def _used(run: Path) -> list[Row]:
    """Verdicts on each site and feature, beside the effects that were measured."""
    measured = {(row["site"], row["feature"]): {name: row[name] for name in _MEASURED} for row in _rows(run, _EFFECTS)}
    return [{**row, **measured[row["site"], row["feature"]]} for row in _rows(run, _USED)]


def _on_request(run: Path, record: records.Table) -> list[Row]:
    """Rows of a command that is no step; none where it was not called."""
    return _rows(run, record) if files.finished((run / record.path).parent) else []


def _rows(run: Path, record: records.Table) -> list[Row]:
    return _table(run, record).to_pylist()


def _table(
    run: Path, record: records.Table, without: Collection[str] = (), where: pc.Expression | None = None
) -> pa.Table:
    path = run / record.path
    try:
        there = pq.read_schema(files.verified(_existing(path))).names
        if missing := [name for name in record.names if name not in there]:
            raise UserError(
                f"{path} lacks columns that the report needs",
                given=", ".join(there),
                allowed=", ".join(missing),
                remedy="report with the version of InverseScope that made the run (see provenance.json)",
            )
        return files.read_table(path, columns=[name for name in there if name not in without], filters=where)
    except pa.ArrowInvalid as error:
        raise _damaged(path, error) from error


def _reading(run: Path) -> dict[str, Any] | None:
    """Fate of the rows of a file of texts, or of the documents of a corpus; None for other tasks."""
    written = [record for record in (records.run.READING, records.run.CORPUS) if (run / record.path).exists()]
    return _json(run, written[0]) if written else None


def _json(run: Path, record: records.Document) -> dict[str, Any]:
    return files.read_json(files.verified(_existing(run / record.path)))


def _existing(path: Path) -> Path:
    if not path.exists():
        raise UserError("a record of this run is missing", given=path, remedy="finish the run first, with --resume")
    return path


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(
        "a record of this run cannot be read",
        given=f"{path}: {error}",
        remedy=f"delete the folder {path.parent} and start again with --resume",
    )
