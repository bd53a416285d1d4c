"""The arena's methods of natural text, its tuned lens and its questions to the subject, on planted truths."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from arena_fixture import COLOURS, PRESENT, labels, planted
from refusals import check, printed, refuses
from small_subject import World, call, config_text, save_subject

from inversescope import files, records
from inversescope.arena.cost import Cost
from inversescope.arena.description import TEXT, described
from inversescope.arena.found import answers
from inversescope.arena.gradient import Search
from inversescope.arena.measure import above_ending
from inversescope.arena.methods import METHODS, NATURAL, chosen
from inversescope.arena.record import Answered, Question
from inversescope.arena.stored import update
from inversescope.arena.study import Study
from inversescope.arena.tuned_lens import Translator, fit
from inversescope.collect.distance import Distance
from inversescope.run.run import Run
from inversescope.score.labelled_feature import Feature
from inversescope.sites import Site
from inversescope.subject import Subject
from inversescope.tasks import Tokens
from inversescope.units import Units

SITE = Site("resid_post", 0)
TEXT_SECTION = """
[features]
"has e" = { regex = "e" }

[text]
sites = ["resid_post.1"]
length = 6
nearest = 80
proposals = 60
pool = 32
"""


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return Subject.load(str(save_subject(tmp_path_factory.mktemp("subject"))), device="cpu", dtype="float32")


# Inputs that a method has found


@pytest.fixture
def study(tmp_path: Path) -> Study:
    found = planted(tmp_path)
    found.run.__dict__["task"] = SimpleNamespace(labels=labels)
    return found


def found_by(study: Study, inputs: list[list[Tokens]]) -> np.ndarray:
    return {a.feature.name: a.shares for a in answers(study, PRESENT, "any", inputs, Cost())}["colour"]


def test_labels_of_found_inputs_are_counted(study: Study):
    targets = study.run.store.inputs("target").tokens
    red, blue = (COLOURS[0], COLOURS[2])
    values = study.features[0].values
    inputs = [[(0, 10_000 + i) for i in range(6)] + [(2, 10_000), (2, 10_000)] for _ in targets]
    shares = found_by(study, inputs)
    assert shares[:, values.index(red)] == pytest.approx(0.75) and shares[:, values.index(blue)] == pytest.approx(0.25)


def test_the_target_itself_and_too_few_inputs_are_no_answer(study: Study):
    targets = study.run.store.inputs("target").tokens
    assert np.isnan(found_by(study, [[tokens] * 8 for tokens in targets])).all()  # the source and nothing else
    few = [[(0, 10_000), (0, 10_001), (0, 10_002)] for _ in targets[1:]]
    assert np.isnan(found_by(study, [[(0, 10_000 + i) for i in range(8)], *few])[1:]).all()  # fewer than four
    some = found_by(study, [[(0, 10_000 + i) for i in range(8)], *[[] for _ in targets[1:]]])
    assert not np.isnan(some[0]).any() and np.isnan(some[1:]).all()


# Retrieval


def test_the_nearest_positions_are_those_of_a_search_one_by_one():
    rng = np.random.default_rng(0)
    values = torch.from_numpy(rng.normal(size=(3 * 4, 5))).float()
    targets = torch.from_numpy(rng.normal(size=(2, 5))).float()
    delta = Distance.of("standardized", Units(torch.zeros(5), torch.ones(5), 2))
    block = [(0, 1, 2, 3), (4, 5, 6, 7), (0, 1, 8, 9)]  # the first and the last begin alike
    best: list[dict[Tokens, float]] = [{}, {}]
    values[8:10] = values[0:2]
    update(best, torch.from_numpy(delta.by_products(values, targets)), block)
    for target, near in enumerate(best):
        everything = {
            block[row][: place + 1]: float(delta.paired(values[4 * row + place][None], targets[target][None]))
            for row in range(3)
            for place in range(4)
        }
        assert list(sorted(near, key=lambda x: near[x])) == sorted(everything, key=lambda x: everything[x])[: len(near)]
        assert near == pytest.approx({tokens: everything[tokens] for tokens in near}, abs=1e-5)
        assert len(near) == 8


# Gradient search


def found_distance(subject: Subject, hidden: list[int], budgets: tuple[int, ...], blind: bool) -> list[float]:
    """δ of the nearest input after each budget; `blind`: tokens are chosen without the gradient."""
    prefix, rng = subject.prefix, np.random.default_rng(0)
    pool = torch.from_numpy(rng.integers(10, 150, (6, 4)))
    target = subject.capture([(*prefix, *hidden)], [SITE]).activations[SITE][0]
    delta = Distance.of("standardized", Units(torch.zeros(len(target)), torch.ones(len(target)), 2))
    search = Search(subject, SITE, delta, target)
    if blind:
        random = torch.Generator().manual_seed(1)
        search._gradient = lambda tokens: torch.randn(len(tokens), len(target), generator=random)
    found = []
    for budget in budgets:
        search.run(pool, budget, torch.Generator().manual_seed(budget))
        found.append(search.best[search.nearest[0]])
    return found


def test_a_gradient_search_never_gets_worse_and_is_ahead_of_a_blind_one(subject: Subject):
    hidden = np.random.default_rng(5).integers(10, 150, (6, 4)).tolist()
    led = [found_distance(subject, each, (1, 2000, 4000), blind=False) for each in hidden]
    blind = [found_distance(subject, each, (1, 2000, 4000), blind=True) for each in hidden]
    assert all(first >= second >= third for first, second, third in led)
    assert np.mean([each[-1] for each in led]) < np.mean([each[-1] for each in blind])
    assert np.mean([each[-1] for each in led]) < 0.8 * np.mean([each[0] for each in led])


def test_the_gradient_is_that_of_finite_differences(subject: Subject):
    tokens = (*subject.prefix, 30, 31, 32)
    target = subject.capture([(*subject.prefix, 40, 41)], [SITE]).activations[SITE][0]
    delta = Distance.of("standardized", Units(torch.zeros(len(target)), torch.ones(len(target)), 2))
    gradient = Search(subject, SITE, delta, target)._gradient(tokens)
    table = subject.model.get_input_embeddings().weight
    step, place = 1e-2, 2

    def squared(change: float) -> float:
        with torch.no_grad():
            kept = table[tokens[place]].clone()
            table[tokens[place], 0] += change
            read = subject.capture([tokens], [SITE]).activations[SITE]
            table[tokens[place]] = kept
        return float(delta.paired(read, target[None])[0] ** 2)

    assert float(gradient[place, 0]) == pytest.approx((squared(step) - squared(-step)) / (2 * step), rel=0.05, abs=1e-4)


# Lens


def lens_loss(z: torch.Tensor, final: torch.Tensor) -> tuple[float, float]:
    """KL on held-out inputs before and after the training."""
    head = torch.randn(20, z.shape[1], generator=torch.Generator().manual_seed(1))
    lens = Translator(z.mean(0), z.std(0))
    with torch.no_grad():
        before = torch.nn.functional.kl_div(
            (lens(z) @ head.T).log_softmax(1), (final @ head.T).log_softmax(1), log_target=True, reduction="batchmean"
        )
    _, _, loss = fit(lens, lambda x: x @ head.T, z, final, torch.Generator().manual_seed(2), time.monotonic() + 60)
    return float(before), loss


def test_a_tuned_lens_learns_a_map_where_there_is_one_and_nothing_where_there_is_none():
    rng = torch.Generator().manual_seed(0)
    final = torch.randn(1500, 6, generator=rng)
    turned = torch.linalg.qr(torch.randn(6, 6, generator=rng)).Q
    before, after = lens_loss(final @ turned, final)
    assert after < 0.05 < before
    before, after = lens_loss(torch.randn(1500, 6, generator=rng), final)
    assert after > 0.5


def test_an_untrained_lens_is_the_logit_lens():
    z = torch.randn(5, 4)
    assert torch.equal(Translator(z.mean(0), z.std(0))(z), z)


# The subject's own description


def test_the_prompts_own_activation_says_nothing_and_another_says_something(subject: Subject):
    feature = Feature("colour", list(COLOURS), np.array([0]), np.array([0, 1, 2]), np.full(3, 1 / 3))
    tokens = [50, 60, 70]
    own = subject.capture([subject.encode(TEXT)], [SITE]).activations[SITE]
    assert described(subject, SITE, own, feature, tokens)[0] == pytest.approx([1 / 3] * 3, abs=1e-3)
    other = described(subject, SITE, own + 10, feature, tokens)[0]
    assert abs(other - 1 / 3).max() > 0.01 and other.sum() == pytest.approx(1)


# Above the same ending


def test_what_is_above_the_same_ending_is_a_difference_of_shares():
    question = Question("s", "f", None)
    share = np.array([0.9, 0.7, 0.8, np.nan])
    given = {question: Answered(share, share, share, share, share, np.zeros(4, dtype=bool))}
    found = above_ending(given, [question], {("s", "f"): np.array([0.4, np.nan, 0.5, 0.1])})
    assert found.value == pytest.approx(0.4)
    assert np.isnan(above_ending(given, [question], {}).value)
    alike = above_ending(given, [question], {("s", "f"): share})
    assert alike.value == pytest.approx(0)


# Which methods run


def test_methods_of_natural_text_run_where_there_are_sites_for_it():
    assert not {method.name for method in chosen([], natural=False)} & set(NATURAL)
    assert [method.name for method in chosen([], natural=True)] == list(METHODS)
    with refuses(given="text draws", remedy="text.sites"):
        chosen(["text draws"], natural=False)


@pytest.fixture(scope="module")
def run(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with sites for natural text, small budgets."""
    folder = tmp_path_factory.mktemp("natural")
    (folder / "config.toml").write_text(config_text(world.model) + TEXT_SECTION)
    assert call("run", folder / "config.toml", "--out", folder / "run", "--until", "score") == 0
    return folder / "run"


@pytest.mark.slow
def test_every_method_of_natural_text_answers_at_its_sites(run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("INVERSESCOPE_CACHE", str(tmp_path))
    names = [*NATURAL, "tuned lens", "own description"]
    assert call("arena", run, "--budget", 1, *(part for name in names for part in ("--only", name))) == 0
    found = pq.read_table(run / "arena" / "results.parquet").to_pylist()
    of_any_text = {row["method"]: row for row in found if (row["site"], row["feature"]) == ("resid_post.1", "has e")}
    assert of_any_text.keys() == set(names)
    searches = set(NATURAL) - {"text draws"}  # draws may not be to be believed
    assert all(of_any_text[name]["silent"] == 0 for name in searches)
    assert {row["site"] for row in found} == {"resid_post.1", None}  # the only one at which all of them answer
    cost = {each["name"]: each for each in files.read_json(run / "arena" / "methods.json")["methods"]}
    assert all(cost[name]["new"] is not None and cost[name]["answering"] > 0 for name in NATURAL)
    assert cost["tuned lens"]["steps"] > 0
    pool = {cost[name]["training"] for name in ("text draws", "text nearest", "own text", "gradient search")}
    assert len(pool) == 1 and pool.pop() > 0  # opened once, and counted for each that uses it


def test_they_are_refused_where_the_config_names_no_sites(world: World, capsys: pytest.CaptureFixture[str]):
    assert call("arena", world.run, "--only", "stored x4") == 2
    check(printed(capsys.readouterr().err), given="stored x4", remedy="text.sites")


def test_the_pool_of_the_study_gives_the_same_ending(world: World):
    study = Study.of(Run.open(world.run), None, None)
    endings = study.endings
    for (site, name), shares in endings.items():
        assert site in {str(s) for s in study.sites} and name in {f.name for f in study.features}
        known = shares[~np.isnan(shares)]
        assert ((known >= 0) & (known <= 1)).all()
    assert records.arena.RESULTS.names  # the column is one of the record
    assert "above_ending" in records.arena.RESULTS.names
