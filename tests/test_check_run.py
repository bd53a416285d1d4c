"""Claims checked with a run: the command, its records and page, and planted claims of which the truth is known."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from planted_truth import runs_in
from planted_worlds import WORLDS
from refusals import check, printed
from small_subject import World, call
from toy_world import ToyTask

from inversescope import Inverter, files, records
from inversescope.check import Claim, gather
from inversescope.check.gather import ENDING, Gatherer
from inversescope.collect.draw_inputs import draw_splits
from inversescope.collect.inputs import SPLITS, Inputs
from inversescope.config import CollectConfig
from inversescope.explain.ending import Ending, Endings
from inversescope.records.levels import Level
from inversescope.run.run import Run
from inversescope.sites import Site
from inversescope.tasks import Tokens
from inversescope.verdicts.checked import CANNOT_TELL, SUPPORTED, VERDICTS
from inversescope.verdicts.left_out import NO_WEIGHT

TEXT = "Then, Michael and Jessica went to the store. Michael gave a ring to"
ENOUGH = 8.0
CLAIMS = [
    {"text": TEXT, "site": "resid_post.1", "claim": 'has_word("gave")'},
    {"text": TEXT, "site": "resid_post.1", "claim": "the subject", "feature": "subject"},
    {"text": TEXT, "site": "resid_post.1", "claim": "it is about shopping"},
    {"text": "store store store", "site": "resid_post.1", "claim": 'has_word("store")'},
]


@pytest.fixture(scope="module")
def run(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(world.run, tmp_path_factory.mktemp("check") / "run"))


@pytest.fixture
def claims(tmp_path: Path) -> Path:
    (tmp_path / "claims.jsonl").write_text("\n".join(map(json.dumps, CLAIMS)))
    return tmp_path / "claims.jsonl"


def test_the_command_prints_and_records_every_claim(
    run: Path, claims: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out, page = tmp_path / "out.jsonl", tmp_path / "page.html"
    assert call("check", run, "--claims", claims, "-n", 16, "--out", out, "--html", page, "--no-necessity") == 0
    rows = pq.read_table(run / "check" / "claims.parquet").to_pylist()
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["claim"] for row in rows] == [row["claim"] for row in lines] == [each["claim"] for each in CLAIMS]
    assert {row["verdict"] for row in rows} <= set(VERDICTS) and rows[2]["kind"] == "none"
    assert rows[2]["share"] is None and rows[2]["verdict"] == CANNOT_TELL
    records.check.CLAIMS.checked(pq.read_table(run / "check" / "claims.parquet"))
    assert set(files.manifest(run / "check")["files"]) == {"claims.parquet", "check.json"}
    assert all(row["verdict"] in page.read_text() for row in rows) and "<script" not in page.read_text()
    assert "outside of the prior" in capsys.readouterr().out.partition("verdict")[0]


@pytest.mark.parametrize("step", ["collect", "train", "verify"])
def test_what_two_states_of_the_run_gave_is_not_kept(
    run: Path, claims: Path, step: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Nothing is locked while activations are inverted: another process may make a step again."""
    asked = ("check", run, "--claims", claims, "-n", 8, "--no-necessity")
    assert call(*asked) == 0
    kept, sealed = files.sha256(run / "check" / files.MANIFEST), (run / step / files.MANIFEST).read_bytes()
    gather = Gatherer.of

    def changed(*given: Any) -> object:
        files.write_sealed(run / step / files.MANIFEST, files.manifest(run / step) | {"again": True})
        return gather(*given)

    with monkeypatch.context() as during:
        during.setattr(Gatherer, "of", changed)
        assert call(*asked) == 2
    (run / step / files.MANIFEST).write_bytes(sealed)
    check(printed(capsys.readouterr().err), "the run has changed", given=str(run), remedy=True)
    assert files.sha256(run / "check" / files.MANIFEST) == kept


def test_claims_without_a_language_model_need_no_openai(run: Path, claims: Path):
    program = (
        "import sys\nsys.modules['openai'] = None\nfrom inversescope.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as stop:\n    print('code', stop.code)"
    )
    asked = ["check", str(run), "--claims", str(claims), "-n", "8", "--no-necessity"]
    where = {"INVERSESCOPE_BASE_URL": "http://127.0.0.1:9", "INVERSESCOPE_MODEL": "m"}
    for more, code in (({}, 0), (where, 2)):  # one of the claims is in words: a judge is asked where there is one
        answer = subprocess.run(
            [sys.executable, "-c", program, *asked], capture_output=True, text=True, env=os.environ | more
        )
        assert ("code 2" in answer.stdout) == (code == 2), answer
        assert ("needs openai" in answer.stderr) == (code == 2), answer
    assert files.finished(run / "check")


def test_python_has_the_same_verdicts(run: Path, claims: Path):
    inverter = Inverter.load(run)
    texts = ['has_word("gave")', "it is about shopping"]
    found = inverter.check(TEXT, texts, site="resid_post.1", n=16)
    assert [claim.claim.claim for claim in found] == texts and found[1].verdict == CANNOT_TELL
    vector = inverter.activation(TEXT, site="resid_post.1")
    by_vector = inverter.check(vector, 'has_word("gave")', site="resid_post.1", n=16)
    assert by_vector[0].evidence.tokens is None and by_vector[0].verdict in VERDICTS
    assert len(found.to_dataframe()) == 2


def stored_in(run: Path) -> set[Tokens]:
    store = Run.open(run).store
    return {tokens for split in SPLITS for tokens in store.inputs(split).tokens}


def test_stored_inputs_answer_beside_the_draws_and_without_them(run: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gather, "TRUSTED", ENOUGH)  # of few stored inputs
    claim, gatherer = Claim('has_word("gave")', "resid_post.1", TEXT), Gatherer(Inverter.load(run), 16, None, 1.0, 0)
    monkeypatch.setattr(gather, "_left_out", lambda inversion: None)
    together, inversion = gatherer.of(claim)
    monkeypatch.setattr(gather, "_left_out", lambda inversion: NO_WEIGHT)
    alone, _ = gatherer.of(claim)
    drawn = {sample.tokens for sample in inversion.samples if sample.weight}
    assert alone.left_out is None and alone.draws.size >= ENOUGH and set(alone.draws.tokens) <= stored_in(run)
    assert set(together.draws.tokens) == set(alone.draws.tokens) | drawn
    fine, inversion = Gatherer(Inverter.load(run), 16, None, 0.05, 0).of(claim)  # hardly a stored input is so near
    assert fine.left_out == NO_WEIGHT
    assert set(fine.draws.tokens) == {sample.tokens for sample in inversion.samples if sample.weight}


def test_inputs_with_the_ending_are_drawn_anew(run: Path, monkeypatch: pytest.MonkeyPatch):
    def two(self: Endings, source: Tokens, site: object, bandwidth: float) -> Ending:
        alike = [float(row[-2:] == source[-2:]) for row in self._tokens]
        return Ending(2, np.array(alike), np.zeros(len(alike), dtype=bool))

    monkeypatch.setattr(Endings, "of", two)
    found, _ = Gatherer(Inverter.load(run), 16, None, 1.0, 0).of(Claim("x", "resid_post.1", TEXT))
    assert found.tokens is not None and set(found.ending.tokens) - stored_in(run)
    assert all(tokens[-2:] == found.tokens[-2:] for tokens in found.ending.tokens)


def without_a_run(**parts: Any) -> Gatherer:
    """A gatherer with some parts in place of those that a run would give."""
    gatherer = Gatherer.__new__(Gatherer)
    vars(gatherer).update(seed=0, _decoded=str, **parts)
    return gatherer


def test_inputs_with_an_ending_are_as_frequent_as_in_the_prior():
    drawn = [(draw % 20,) if draw % 2 else (20 + draw,) for draw in range(3000)]  # half of them are of ten inputs
    new = Counter(drawn)
    ending = Ending(1, np.array(list(new.values())) / len(drawn), np.zeros(len(new), dtype=bool))
    gatherer = without_a_run(_new_inputs=new, _endings=SimpleNamespace(of=lambda *_: ending))
    found, _ = gatherer._ending((0,), Site.parse("resid_post.1"), Level(None, 1.0))
    assert len(found) <= ENDING
    assert found.weights[[row[0] < 20 for row in found.tokens]].sum() == pytest.approx(0.5, abs=0.02)


class Zipf(ToyTask):
    """A prior whose most frequent inputs are among the targets of nearly every run."""

    chance = 1 / np.arange(1, 5001) / (1 / np.arange(1, 5001)).sum()

    def draw(self, n: int, rng: np.random.Generator) -> list[Tokens]:
        return [(int(row),) for row in rng.choice(len(self.chance), n, p=self.chance)]

    def log_prior(self, tokens: Sequence[int]) -> float:
        return float(np.log(self.chance[tokens[0]]))


def test_stored_inputs_stand_for_the_prior_without_bias():
    config, task, found = CollectConfig(train=2000, pool=1000, targets=24), Zipf(), []
    for seed in range(6):
        splits = draw_splits(config, task, np.random.default_rng(seed))
        inputs = {name: Inputs(rows, [], {}) for name, rows in splits.items()}
        run = SimpleNamespace(store=SimpleNamespace(exact=False, inputs=inputs.__getitem__), task=task)
        shares = without_a_run(inverter=SimpleNamespace(run=run))._log_prior
        frequent = [[row[0] < 50 for row in splits[name]] for name in shares]
        found.append(sum(np.exp(shares[name]) @ rows for name, rows in zip(shares, frequent, strict=True)))
    assert np.mean(found) == pytest.approx(Zipf.chance[:50].sum(), abs=0.02)


@pytest.mark.parametrize(
    "claim",
    [
        {"text": TEXT, "site": "resid_post.9", "claim": "x"},
        {"text": TEXT, "site": "resid_post.1", "position": 99, "claim": "x"},
        {"vector": [1.0], "site": "resid_post.1", "claim": "x"},
        {"text": TEXT, "site": "resid_post.*", "claim": "x"},
    ],
)
def test_a_claim_that_cannot_be_read_is_refused_with_its_line(
    run: Path, claim: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "c.jsonl").write_text(json.dumps(CLAIMS[0]) + "\n" + json.dumps(claim))
    assert call("check", run, "--claims", tmp_path / "c.jsonl", "-n", 16) == 2
    check(printed(capsys.readouterr().err), "line 2")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_planted_claims_get_the_right_verdict(shared: Path):
    """A part of `benchmarks/claims.py`."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
    from claims import accuracy, check_world, hash_of

    runs, total, empty = runs_in(shared), Counter(), Counter()
    for world in WORLDS:
        inverter = Inverter.load(runs[world, 0], features={f"hash{i}": hash_of(i) for i in range(20)})
        counts, null, _ = check_world(inverter, world, each=16, bandwidth=0.05, draws=128, seed=0)
        total, empty = total + counts, empty + null
    decided, right, n = accuracy(total)
    assert right >= 0.95 * decided and decided >= 0.7 * n and n >= 100
    assert empty[SUPPORTED] <= 0.05 * sum(empty.values())
