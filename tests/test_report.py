"""The report as a file: it carries the numbers of the records, fetches nothing, escapes everything."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from refusals import refuses
from report_fixture import Shape, embedded, read_scores, write_run

from inversescope.charts import rows, vendored
from inversescope.records.score import RESULTS
from inversescope.report import write_report

DASH = "\N{EN DASH}"
SMALL = Shape(layers=6, heads=2, generator_layers=(1, 3, 5), targets=8, samples=5)
HOSTILE = '</script><img src="http://x.test/a.png" onerror=alert(1)>{{ 7*7 }}<!--'
DEGENERATE = {
    "no heads, one target": Shape(layers=6, heads=0, generator_layers=(1, 5), targets=1, samples=4),
    "no residual sites, one bandwidth": Shape(
        layers=1, heads=2, generator_layers=(0,), targets=3, samples=1, residual=False, bandwidths=(0.3,)
    ),
    "no labels": Shape(layers=6, heads=2, generator_layers=(1, 5), targets=3, samples=4, features=()),
    "no generator": Shape(layers=6, heads=2, generator_layers=(), targets=3, samples=4),
    "neither": Shape(layers=6, heads=2, generator_layers=(), targets=3, samples=4, features=()),
}
UNDEFINED = Shape(layers=6, heads=2, generator_layers=(1, 5), targets=3, samples=4, defined=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"), SMALL)


@pytest.fixture(scope="module")
def page(run: Path) -> Path:
    return write_report(run)


def unpacked(table: dict) -> list[dict]:
    columns = {
        name: [None if code is None else column["levels"][code] for code in column["codes"]]
        if isinstance(column, dict)
        else column
        for name, column in table.items()
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def chromium(profile: Path) -> list[str]:
    """The command of a browser without a window."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium to run the page in")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    options += ["--disable-component-update", "--disable-sync", "--virtual-time-budget=5000"]
    return [browser, *options, f"--user-data-dir={profile}"]


DRAWN = "while (!document.documentElement.dataset.drawn) await new Promise((done) => setTimeout(done, 10));"
PAPER = f"<script type='module'>{DRAWN} dispatchEvent(new Event('beforeprint'));</script>"  # draws everything


def drawn(page: Path, profile: Path, fragment: str = "", more: str = PAPER) -> str:
    """The document, without the vendored libraries, after its scripts and one more have run."""
    copy = page.with_name("drawn.html")
    copy.write_text(page.read_text(encoding="utf-8").replace("</body>", f"{more}</body>"), encoding="utf-8")
    command = [*chromium(profile), "--dump-dom", copy.as_uri() + fragment]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    finally:
        copy.unlink()
    return re.sub(r'<script id="libraries">.*?</script>', "", shown, count=1, flags=re.S)


def test_lies_beside_copies_of_the_full_numbers(run: Path, page: Path):
    assert page == run / "report" / "report.html"
    for name in ("results.parquet", "results.json"):
        assert (run / "report" / name).read_bytes() == (run / "score" / name).read_bytes()
    assert {path.name for path in page.parent.iterdir()} == {"report.html", "results.parquet", "results.json"}


def test_carries_the_hypotheses_that_were_found(run: Path, page: Path):
    rows = pq.read_table(run / "mine" / "hypotheses.parquet").to_pylist()
    shown, data = embedded(page)["hypotheses"], embedded(page)
    expected = [row for row in rows if row["site"] in data["shownSites"]]
    assert len(shown) == len(expected) > 0
    for one, other in zip(shown, expected, strict=True):
        for name in ("site", "bandwidth", "rank", "hypothesis", "words", "targets", "merged"):
            assert one[name] == other[name]
        assert one["corrected"] == pytest.approx(other["corrected"], abs=1e-3)
        assert one["q_value"] == other["q_value"]
    section = re.search(r'<section id="hypotheses".*?</section>', page.read_text(encoding="utf-8"), re.S)
    assert section and re.search(r"\b259\b[^.]*\b3\b", re.sub(r"<[^>]+>", " ", section[0]))  # tried on so many targets


def test_the_page_draws_them_and_says_which_are_not_confirmed(page: Path, tmp_path: Path):
    section = re.search(r'data-figure="hypotheses">(.*?)</section>', drawn(page, tmp_path), re.S)
    assert section and section[1].count("<tr") == 4  # a head and three hypotheses
    assert section[1].count('class="unconfirmed"') == 2
    assert "&lt;b&gt;" in section[1] and "1. the last word" in section[1]


def test_carries_every_score_of_the_records(run: Path, page: Path):
    data, rows = embedded(page), read_scores(run)
    shown = unpacked(data["scores"])
    assert len(shown) == len(rows)
    for found, row in zip(shown, rows, strict=True):
        assert data["places"][row["site"]] == [row["point"], row["layer"], row["head"]]
        for name in set(RESULTS.names) - {"point", "layer", "head"}:
            expected = pytest.approx(row[name], rel=1e-3) if isinstance(row[name], float) else row[name]
            assert found[name] == expected, (name, row)


def test_carries_diagnostics_and_distances_of_the_records(run: Path, page: Path):
    data = embedded(page)
    diagnostics, distances = (
        pq.read_table(run / "score" / f"{name}.parquet").to_pylist() for name in ("diagnostics", "distances")
    )
    written = {"diagnostics": diagnostics, "distances": rows.of_distances(distances, diagnostics)}
    for name, recorded in written.items():
        assert recorded and len(unpacked(data[name])[0]) >= 5
        for found, row in zip(unpacked(data[name]), recorded, strict=True):
            for column, value in found.items():
                assert value == (pytest.approx(row[column], rel=1e-3) if isinstance(value, float) else row[column])


def test_gaps_are_those_of_the_generator_where_there_is_a_reference(run: Path, page: Path):
    scores = {(row["method"], row["site"], row["feature"], row["bandwidth"]): row for row in read_scores(run)}
    shown = unpacked(embedded(page)["gaps"])
    assert len(shown) == sum(method == "generator" for method, *_ in scores)
    for found in shown:
        place = (found["site"], found["feature"], found["bandwidth"])
        row, reference = scores["generator", *place], scores["reference", *place]
        known = bool(reference["trusted"]) and row["gap"] is not None
        assert found["gap"] == (pytest.approx(row["gap"], rel=1e-3) if known else None)
        assert (found["why"] is None) == known
    assert {found["gap"] is None for found in shown} == {True, False}


def test_carries_quality_and_consistency_by_distance_of_the_sites_it_shows(run: Path, page: Path):
    data = embedded(page)
    for name, key in (("quality", "quality"), ("by_distance", "byDistance")):
        rows = pq.read_table(run / "score" / f"{name}.parquet").to_pylist()
        rows = [row for row in rows if row["site"] in data["shownSites"]]
        assert rows and len(unpacked(data[key])[0]) >= 5
        for found, row in zip(unpacked(data[key]), rows, strict=True):
            for column, value in found.items():
                assert value == (pytest.approx(row[column], rel=1e-3) if isinstance(value, float) else row[column])


def test_shows_the_worst_targets_with_their_reasons(run: Path, page: Path):
    text = page.read_text()
    worst = text[text.index('<table class="worst">') : text.index('id="provenance"')]
    rows = pq.read_table(run / "score" / "worst_targets.parquet").to_pylist()
    assert worst.count('<th scope="row">') == len(rows)
    for row in rows:
        assert row["nearest_text"] in worst
        assert all(reason in worst for reason in row["reasons"])
    assert worst.count("half of the draws or more are accepted") == sum(not row["reasons"] for row in rows)


def test_carries_the_samples_of_the_records(run: Path, page: Path):
    data = embedded(page)
    assert data["shownDraws"] == SMALL.samples
    assert min(map(len, (data["shownSites"], data["levels"], data["targets"]))) >= 2
    samples = pq.read_table(run / "verify" / "samples.parquet").to_pylist()
    for i, site in enumerate(data["shownSites"]):
        for j, h in enumerate(data["levels"]):
            for k, target in enumerate(data["targets"]):
                mine = [s for s in samples if (s["site"], s["bandwidth"], s["target"]) == (site, h, target["row"])]
                card = data["samples"][i][j][k]
                rows = card["shown"]
                assert (card["left_out"], card["unreliable"]) == (mine[0]["left_out"], mine[0]["unreliable"])
                assert sum(row["n"] for row in rows if row["source"]) == sum(s["source"] for s in mine)
                assert sum(row["n"] for row in rows) == len(mine) == SMALL.samples
                assert {"".join(row["text"]) for row in rows} == {sample["text"] for sample in mine}
                weights = [sample["weight"] for sample in mine if sample["weight"] is not None]
                assert sum(row["weight"] or 0 for row in rows) == pytest.approx(sum(weights), abs=1e-2)
                states = sum(row["n"] for row in rows if row["state"] == "accepted")
                assert states == sum(sample["accepted"] for sample in mine)


def test_targets_shown_run_from_the_best_to_the_worst_acceptance(run: Path, page: Path):
    samples = pq.read_table(run / "verify" / "samples.parquet").to_pylist()
    shares = {}
    for target in {sample["target"] for sample in samples}:
        others = [each for each in samples if each["target"] == target and not each["source"]]
        mine = [each["accepted"] for each in others if each["bandwidth"] <= 0.1]
        shares[target] = sum(mine) / len(mine)
    shown = embedded(page)["targets"]
    assert len(shown) == 6
    assert [target["acceptance"] for target in shown] == sorted((t["acceptance"] for t in shown), reverse=True)
    assert shown[0]["acceptance"] == pytest.approx(max(shares.values()))
    assert shown[-1]["acceptance"] == pytest.approx(min(shares.values()))


class Loads(HTMLParser):
    """What a browser would fetch or follow: attributes with addresses, and loading words in styles and scripts."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[str] = []
        self.feed(text.replace(vendored.script(), ""))  # they could, but the policy of the page lets them fetch nothing

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]):
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]
        self.inert = ("type", "application/json") in attrs

    def handle_data(self, data: str):
        words = r"url\((?!#)|@import|fetch\(|import\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon"
        if self.lasttag in ("style", "script") and not self.inert:
            self.found += re.findall(words, data)


@pytest.mark.parametrize("hostile", ["", HOSTILE])
def test_fetches_nothing(tmp_path: Path, hostile: str):
    shape = Shape(layers=2, heads=1, generator_layers=(1,), targets=2, samples=3, hostile=hostile)
    text = write_report(write_run(tmp_path, shape)).read_text()
    found = Loads(text).found
    assert {"results.parquet", "results.json"} == {address for address in found if not address.startswith("#")}
    assert "default-src 'none'" in text and "connect-src" not in text
    assert Loads(text.replace("</style>", "a { background: url(https://x.test) }</style>")).found != found


def test_hostile_text_stays_text(tmp_path: Path):
    shape = Shape(layers=2, heads=1, generator_layers=(1,), targets=2, samples=3, hostile=HOSTILE)
    page = write_report(write_run(tmp_path / "run", shape))
    text = page.read_text()
    assert "<img" not in text
    assert text.count("</script>") == 3
    assert "<!--" not in text
    assert HOSTILE in embedded(page)["targets"][0]["text"]
    rendered = drawn(page, tmp_path / "profile")
    assert 'data-drawn="yes"' in rendered
    assert "<img" not in rendered.replace(embedded_text(rendered), "")


def test_texts_of_any_direction_stand_by_themselves(tmp_path: Path):
    """A text runs in its own direction and turns nothing beside it around."""
    shape = Shape(layers=2, heads=1, generator_layers=(1,), targets=2, samples=3, hostile="שלום ‹|endoftext|›")
    page = write_report(write_run(tmp_path / "run", shape))
    assert '[dir="auto"] { unicode-bidi: isolate; }' in page.read_text()
    assert "שלום ‹|endoftext|›" in embedded(page)["targets"][0]["text"]
    rendered = drawn(page, tmp_path / "profile")
    for kind in ("input", "given", "words-of", r"label \w+"):
        assert re.search(f'class="{kind}" dir="auto"', rendered), kind


def embedded_text(rendered: str) -> str:
    start = rendered.index('id="data">')
    return rendered[start : rendered.index("</script>", start)]


def test_draws_the_numbers_of_the_records(run: Path, page: Path, tmp_path: Path):
    rendered = drawn(page, tmp_path / "profile")
    data = embedded(page)
    chosen = data["start"]
    rows = {(row["method"], row["site"], row["feature"], row["bandwidth"]): row for row in read_scores(run)}
    panel = rendered[rendered.rindex(f'data-feature="{chosen["feature"]}"') :]
    for site in data["generatorSites"]:
        row = rows["weighted", site, chosen["feature"], chosen["level"]]
        cells = re.search(rf'<th scope="row">{re.escape(site)}</th>(.*?)</tr>', panel, re.S)
        assert cells is not None
        expected = [f"{row[name]:.2f}".replace("-", "\N{MINUS SIGN}") for name in ("corrected", "corrected_low")]
        shown = re.sub(r"<[^>]+>", "", cells[1])
        assert "\N{MINUS SIGN}0.00" not in shown
        assert f"{expected[0]} [{expected[1]}".replace("\N{MINUS SIGN}0.00", "0.00") in shown
    overview = rendered[rendered.index('data-figure="overview"') : rendered.index('id="features"')]
    assert set(re.findall(r'font-weight="600"[^>]*>([^<]*)</text>', overview)) == set(SMALL.features)
    heads = rendered[rendered.index('name="heads') : rendered.index('id="levels"')]
    assert len(map_cells(heads)) == SMALL.layers * SMALL.heads * len(SMALL.features)


def map_cells(rendered: str) -> list[str]:
    """Tips of the cells of maps: every one has its site."""
    return re.findall(r'aria-label="(z\.\d+\.\d+;[^"]*)"', rendered)


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_runs_are_drawn(tmp_path: Path, name: str):
    page = write_report(write_run(tmp_path / "run", DEGENERATE[name]))
    rendered = drawn(page, tmp_path / "profile")
    assert 'data-drawn="yes"' in rendered
    shown = re.sub(r"<script.*?</script>", "", rendered, flags=re.S)
    assert "NaN" not in shown
    assert "Infinity" not in shown
    assert ">undefined<" not in shown
    charts = shown.count("<inverse-chart") - shown.count("<inverse-chart></")
    assert charts == shown.count('class="marks"') and (charts > 0) == ('id="libraries"' in page.read_text())


def test_undefined_is_a_dash_with_a_reason(tmp_path: Path):
    page = write_report(write_run(tmp_path / "run", UNDEFINED))
    text = page.read_text()
    reasons = re.findall(rf'<span class="undefined" title="([^"]+)">{DASH}</span>', text)
    assert any("accuracy" in reason for reason in reasons) and any("reference" in reason for reason in reasons)
    assert len(reasons) == text.count('<span class="undefined"')
    assert all(row["corrected"] is None and row["reason"] for row in unpacked(embedded(page)["scores"]))
    rendered = drawn(page, tmp_path / "profile")
    controls = rendered[rendered.index('data-figure="controls"') : rendered.index('id="failures"')]
    texts = re.findall(r"<td[^>]*>(.*?)</td>", controls)
    assert texts
    assert {re.sub(r"<[^>]+>", "", text) for text in texts} == {DASH}
    assert all('title="' in text for text in texts)
    heads = rendered[rendered.index('name="heads') : rendered.index('id="levels"')]
    assert len(map_cells(heads)) == 6 * 2 * len(UNDEFINED.features) and all(
        "undefined: " in cell for cell in map_cells(heads)
    )


RECORDS = (
    *("task/accuracy.json", "collect/inputs.parquet", "verify/samples.parquet", "score/results.parquet"),
    *("score/diagnostics.parquet", "score/distances.parquet", "score/results.json", "resolved.json", "provenance.json"),
    *("score/quality.parquet", "score/by_distance.parquet", "score/worst_targets.parquet"),
    *("causal/used.parquet", "causal/headline.json"),
)


@pytest.mark.parametrize("record", RECORDS)
def test_a_missing_record_is_named(run: Path, tmp_path: Path, record: str):
    copy = shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    (copy / record).unlink()
    with refuses(given=record, remedy="--resume"):
        write_report(copy)
    assert not (copy / "report").exists()


@pytest.mark.parametrize("record", ["score/results.parquet", "provenance.json"])
def test_a_damaged_record_is_named(run: Path, tmp_path: Path, record: str):
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / record).write_bytes(b"\xff\x00 no record")
    with refuses(given=record):
        write_report(copy)


def test_a_record_of_another_version_is_refused(run: Path, tmp_path: Path):
    copy = shutil.copytree(run, tmp_path / "run")
    path = copy / "score" / "results.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["gap_low"]), path)
    with refuses(allowed="gap_low", remedy=True):
        write_report(copy)


def test_nan_is_not_taken_for_a_number(run: Path, tmp_path: Path):
    copy = shutil.copytree(run, tmp_path / "run")
    path = copy / "score" / "results.parquet"
    table = pq.read_table(path)
    spoiled = pa.array([float("nan")] * table.num_rows)
    pq.write_table(table.set_column(table.column_names.index("ess"), "ess", spoiled), path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_report(copy)


def test_imports_no_step_and_no_torch():
    code = "import sys, json, inversescope.report; print(json.dumps([m for m in sys.modules]))"
    source = str(Path(__file__).parents[1] / "src")
    environment = {**os.environ, "PYTHONPATH": source}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    loaded = set(json.loads(done.stdout))
    assert "torch" not in loaded
    ours = {name.split(".")[1] for name in loaded if name.startswith("inversescope.")}
    assert ours <= {
        "report",
        "charts",
        "errors",
        "files",
        "levels",
        "sites",
        "stats",
        "verdicts",
        "records",
        "progress",
    }
