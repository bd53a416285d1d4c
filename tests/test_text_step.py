"""The step `text`: its tables, resumed and on workers the same, planted cases of each comparison."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from refusals import check, printed, refuses
from small_subject import World, call, save_subject

from inversescope import files, records
from inversescope.config import TextConfig
from inversescope.natural_text.evaluation.chances import best_of, same_from_the_end
from inversescope.natural_text.evaluation.evaluation import Evaluator, make_worker, pool_sizes
from inversescope.natural_text.evaluation.probe import recovery
from inversescope.natural_text.evaluation.stored import Stored, pools
from inversescope.natural_text.evaluation.summary import above, comparison, shares
from inversescope.natural_text.readings import prefix_key_values
from inversescope.natural_text.ruler import Ruler
from inversescope.progress import silent
from inversescope.run.plots import Plots
from inversescope.run.run import Run
from inversescope.subject import Subject
from inversescope.subject.continuing import Continuing
from inversescope.units import Units

SITE, TARGETS = "resid_post.1", 4
CONFIG = """\
seed = 3
[subject]
model = "{model}"
device = "cpu"
dtype = "float32"
[task]
name = "corpus"
path = "{corpus}"
tokens = 5
[features]
"last word" = {{ expression = "last_word" }}
[collect]
sites = ["resid_post.*"]
train = 40
pool = 24
targets = 4
[generator]
sites = []
[sample]
bandwidths = [0.5]
[text]
sites = {sites}
nearest = 60
best = 60
proposals = 160
bits = [0.1, 30]
samples = 8
stored = [1, 2]
pool = 64
"""


class Made:
    """A finished run with natural text, its config, and its tables."""

    def __init__(self, folder: Path):
        documents = folder / "documents"
        documents.mkdir()
        words = ("Mary", "John", "store", "garden", "ring", "drink", "gave", "went", "to", "the", "a", "and")
        for number in range(40):
            random = np.random.default_rng(number)
            sentences = [f"{' '.join(random.choice(words, 12))} x{number}y{row}." for row in range(4)]
            (documents / f"{number}.txt").write_text(" ".join(sentences))
        self.model = save_subject(folder / "small")
        self.documents, self.config, self.run = documents, folder / "text.toml", folder / "run"
        self.config.write_text(self.toml([SITE]))
        assert call("run", self.config, "--out", self.run) == 0

    def toml(self, sites: list[str]) -> str:
        return CONFIG.format(model=self.model, corpus=self.documents, sites=json.dumps(sites))

    def rows(self, record: records.Table) -> list[dict[str, Any]]:
        return files.read_table(self.run / record.path).to_pylist()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INVERSESCOPE_CACHE", str(tmp_path_factory.getbasetemp() / "natural"))
        return Made(tmp_path_factory.mktemp("text-run"))


def test_every_table_is_there(made: Made):
    of = records.text
    methods = made.rows(of.METHODS)
    assert all(files.finished(made.run / folder) for folder in ("text", "report", "."))
    per_target = [row["method"] for row in methods if row["target"] == 0]
    assert {"nearest", "best", "stored ×1", "stored ×2", "no condition", "shuffled target", "random direction"} < set(
        per_target
    )
    assert len(per_target) == len(set(per_target))
    verdicts = made.rows(of.VERDICTS)
    assert [row["bits_wanted"] for row in verdicts[:2]] == [0.1, 30.0] and len(verdicts) == 2 * TARGETS
    for row in verdicts:
        name, here = f"draws {row['bits_wanted']:g} bits", (row["site"], row["target"])
        shown = [each for each in made.rows(of.ANSWERS) if (each["site"], each["target"]) == here]
        assert (sum(each["times"] for each in shown if each["method"] == name) == 8) == row["believed"]
        numbers = [row[column] for column in ("bits", "log_z", "size", "spread", "near")]
        assert all(number is not None for number in numbers) if row["believed"] else numbers == [None] * 5
    assert any(row["believed"] for row in verdicts) and not all(row["believed"] for row in verdicts)
    features = {row["feature"] for row in made.rows(of.ABOVE)}
    assert features == {"last word"}


def test_a_target_alone_is_not_its_own_floor(made: Made):
    evaluator = Evaluator(Run.open(made.run), silent)
    rows = [evaluator._one(evaluator.sites[0], 0).rows(silent)["methods"]]
    evaluator.sources = evaluator.sources[:1]
    rows.append(evaluator._one(evaluator.sites[0], 0).rows(silent)["methods"])
    assert [any(row["method"] == "shuffled target" for row in each) for each in rows] == [True, False]


def test_a_larger_pool_is_no_farther_and_distances_are_those_of_a_fresh_reading(made: Made):
    rows = {(row["target"], row["method"]): row for row in made.rows(records.text.METHODS)}
    for target in range(TARGETS):
        assert rows[target, "stored ×2"]["distance"] <= rows[target, "stored ×1"]["distance"]
        assert rows[target, "nearest"]["distance"] <= rows[target, "nearest"]["median"]
        assert rows[target, "same ending 4"]["distance"] < rows[target, "same ending 1"]["median"]
        assert rows[target, "nearest"]["tokens_read"] >= 60


def test_a_run_that_was_stopped_gives_the_same_files(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INVERSESCOPE_CACHE", str(tmp_path / "cache"))
    again = tmp_path / "run"
    assert call("run", made.config, "--out", again, "--until", "causal") == 0
    do, done = Evaluator.__call__, []

    def stopped(self: Evaluator, unit: Any, progress: Any) -> Path:
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(unit)
        return do(self, unit, progress)

    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "__call__", stopped)
        assert call("run", made.config, "--out", again, "--resume") == 130
    assert call("run", made.config, "--out", again, "--resume") == 0
    for record in records.text.TABLES:
        assert (again / record.path).read_bytes() == (made.run / record.path).read_bytes(), record.path


def test_a_worker_of_another_process_writes_the_same_part(made: Made, tmp_path: Path):
    """A worker knows the run's folder alone, and does its units in any order."""
    opened = Run.open(made.run)
    worker = make_worker(opened)
    worker.folder = tmp_path  # type: ignore[attr-defined]
    units = worker.units()  # type: ignore[attr-defined]
    for unit in (units[-1], units[0]):
        assert worker(unit, silent).read_bytes() == (made.run / "text" / unit.file).read_bytes(), unit


def test_the_report_shows_draws_that_are_believed_and_no_others(made: Made, world: World):
    page = (made.run / "report" / "report.html").read_text()
    section = page[page.index('<section id="text">') :].split("</section>")[0]
    verdicts = made.rows(records.text.VERDICTS)
    assert (
        f"draws at 30 bits are to be believed for {sum(r['believed'] for r in verdicts[1::2])} of 4 targets" in section
    )
    assert section.count('<details class="text-target">') == TARGETS
    drawn = [row for row in made.rows(records.text.ANSWERS) if row["method"].startswith("draws")]
    assert section.count('<th scope="row">draws') == sum(row["rank"] < 6 for row in drawn) > 0
    assert "same ending 1" in section and "NaN" not in section and "None" not in section
    assert '<section id="text">' not in (world.run / "report" / "report.html").read_text()


def test_the_chart_has_the_rows_of_the_comparison(made: Made, world: World):
    chart = Plots(made.run).text()
    wanted = {row["method"]: row["distance"] for row in made.rows(records.text.COMPARISON)}
    shown = {row["method"]: row["distance"] for row in chart.values}
    assert shown == {name: wanted[name] for name in ("nearest", "stored ×1", "no condition", "same ending 4")}
    with refuses(given=str(world.run)):
        Plots(world.run).text()


def test_sites_that_are_not_collected_are_refused(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config = tmp_path / "wrong.toml"
    config.write_text(made.toml(["z.1.0"]))
    assert call("run", config, "--out", tmp_path / "run") == 2
    check(printed(capsys.readouterr().err), given="z.1.0")


def test_the_nearest_stored_position_is_found(made: Made):
    """Planted: the target is the activation of a position in the middle of one window."""
    subject = Subject.load(str(made.model), device="cpu", dtype="float32")
    (site,) = subject.sites([SITE])
    windows = [tuple(subject.encode(f"Then, {name} gave a ring to the garden")) for name in ("Mary", "John")] * 3
    prefix = len(subject.prefix)
    reader, start = Continuing(subject, [site]), prefix_key_values(subject)
    assert start is not None
    read = reader.read(torch.tensor([windows[1][prefix:]]), start.expanded(1)).activations[site][0]
    units = Units(torch.zeros(read.shape[1]), torch.ones(read.shape[1]), 1)
    stored = Stored(
        subject, {site: units}, {site: read[3:4]}, [windows[1][prefix : prefix + 4]], windows, {1: 15, 2: 99}
    )
    work = stored.units_of_work()
    assert [unit.arguments[3] for unit in work] == [1, 2]
    rows = []
    for unit in work:
        _, first, last, multiple = unit.arguments
        rows += files.read_json(stored.do(made.run.parent / unit.file, first, last, multiple, silent))["methods"]
    first, second = pools(rows, (1, 2))
    assert first["distance"] == pytest.approx(0, abs=1e-3) and first["same"] == [1.0] * 4
    assert second["method"] == "stored ×2" and second["distance"] <= first["distance"]


def test_pools_that_would_be_smaller_than_their_name_are_refused():
    config = TextConfig(nearest=100, stored=(1, 4))
    assert pool_sizes(config, 400) == {1: 100, 4: 400}
    with refuses(given="399 positions", remedy="collect.train"):
        pool_sizes(config, 399)


def test_best_of_is_the_mean_over_all_choices():
    distances = np.array([0.9, 0.1, 0.5, 0.4])
    pairs = [min(a, b) for i, a in enumerate(distances) for b in distances[i + 1 :]]
    assert best_of(distances, 2) == pytest.approx(np.mean(pairs))
    assert best_of(distances, 4) == best_of(distances, 9) == 0.1
    assert best_of(distances, 1) == pytest.approx(distances.mean())


def test_recovery_counts_from_the_end():
    assert same_from_the_end([[1, 2, 3], [9, 2, 3]], [5, 1, 2, 3], [3.0, 1.0]) == [1.0, 1.0, 0.75]


def test_a_probe_names_what_the_activation_holds_and_nothing_else():
    """Planted: the activation holds the last token's embedding, turned, and nothing of the token before it."""
    random = torch.Generator().manual_seed(0)
    embeddings = torch.randn(40, 6, generator=random)
    inputs = torch.randint(40, (400, 2), generator=random)
    turned, _ = torch.linalg.qr(torch.randn(6, 6, generator=random))
    activations = embeddings[inputs[:, 1]] @ turned + 0.05 * torch.randn(400, 6, generator=random)
    found = recovery(embeddings, activations[:300], inputs[:300].tolist(), activations[300:], inputs[300:].tolist())
    last, before = np.array(found).mean(0)
    assert last > 0.9 and before < 0.15
    assert recovery(embeddings, activations[:10], inputs[:10].tolist(), activations[300:301], [[1, 2]]) == [[]]


def test_the_probe_stands_beside_the_recovery_of_the_methods(made: Made):
    rows = [row for row in made.rows(records.text.SHARES) if row["method"] == records.text.PROBE]
    assert [(row["kind"], row["tokens"]) for row in rows] == [("recovery", place) for place in range(1, 6)]
    assert all(0 <= row["share"] <= 1 for row in rows)


def row(target: int, method: str, distance: float, **more: Any) -> dict[str, Any]:
    return {"site": "s", "target": target, "method": method, "distance": distance, "log_p": None, "same": [], **more}


def test_comparisons_are_paired():
    """Planted: the search is nearer for each of 8 targets, by half; a method with other targets counts its own."""
    rows = [row(t, "nearest", 0.1 * (t + 1)) for t in range(8)]
    rows += [row(t, "stored ×1", 0.2 * (t + 1)) for t in range(8)] + [row(t, "best", 0.01) for t in range(3)]
    stored, best = (each for each in comparison(rows, 0) if each["method"] != "nearest")
    assert (stored["ratio"], stored["wins"], stored["targets"]) == (pytest.approx(0.5), 1.0, 8)
    assert stored["wins_low"] > 0.5
    assert (best["wins"], best["targets"]) == (0.0, 3)
    assert best["ratio"] == pytest.approx(20)


def test_shares_over_the_ruler_and_above_the_same_ending():
    ruler = {"s": Ruler({0: 1.4, 1: 1.0, 2: 0.5})}
    rows = [row(t, "nearest", 0.4 if t else 1.2, same=[1.0, float(t > 1)]) for t in range(4)]
    found = {(each["kind"], each["tokens"]): each["share"] for each in shares(rows, ruler)}
    assert found == {
        ("acceptance", 0): 1.0,
        ("acceptance", 1): 0.75,
        ("acceptance", 2): 0.75,
        ("recovery", 1): 1.0,
        ("recovery", 2): 0.5,
    }
    labelled = [
        {"site": "s", "bits_wanted": 6.0, "feature": name, "draws": 0.9, "ending": ending, "prior": 0.1}
        for name, ending in (("copied", 0.9), ("meant", 0.2))
        for _ in range(8)
    ]
    copied, meant = above(labelled)
    assert copied["above_ending"] == pytest.approx(0) and copied["above_ending_low"] <= 0
    assert meant["above_ending"] == pytest.approx(0.7) and meant["above_ending_low"] > 0.3
