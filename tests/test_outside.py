"""Activations outside of the prior: the rule, the distances behind it, and what is not said of them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from measured import write_nearest
from rich.console import Console
from safetensors.numpy import load_file
from small_subject import World
from toy_world import COUNTS, INPUTS, LAST, PRIOR, read, rows, write_store

from inversescope import files, records
from inversescope.cli.tables.answers import explanation_table, inversion_table
from inversescope.collect.outside import nearest
from inversescope.collect.store import Store
from inversescope.explain import Explanation, explain
from inversescope.inverter import Inverter
from inversescope.report.explanation import render
from inversescope.sites import Site
from inversescope.verdicts import Outside, outside

SITE = Site("resid_post", 0)


def test_one_input_of_the_prior_in_a_hundred_is_outside():
    """Distances of any distribution: those of the prior's own inputs have any rank, and far ones are all outside."""
    rng = np.random.default_rng(0)
    found, p_values = [], []
    for _ in range(60):
        stored, new = (rng.lognormal(-2, 1, size=size) for size in (300, 200))
        verdicts = [outside(float(distance), stored, 0.0) for distance in new]
        found += [verdict.outside for verdict in verdicts]
        p_values += [verdict.p_value for verdict in verdicts]
        assert all(outside(float(distance), stored, 0.0).outside for distance in stored.max() + new)
    assert 0.005 < np.mean(found) < 0.015
    assert np.mean(np.array(p_values) <= 0.2) == pytest.approx(0.2, abs=0.02)


def test_the_rule_at_its_edges():
    few = np.array([0.1, 0.2, 0.3])  # too few for a rank of one in a hundred: farther than all of them
    assert not outside(0.3, few, 0.0).outside and outside(0.31, few, 0.0).outside
    assert outside(0.31, few, 0.0).p_value == 1 / 4
    assert not outside(0.31, few, noise_floor=0.35).outside and outside(0.36, few, noise_floor=0.35).outside
    assert not outside(9.0, np.array([]), 0.0).outside
    many = np.arange(1, 1000) / 1000  # the ten largest of 999, the activation itself among a thousand
    assert outside(0.991, many, 0.0).outside and not outside(0.99, many, 0.0).outside
    assert outside(0.991, many, 0.0).limit == pytest.approx(0.99)


@pytest.mark.parametrize("exact", [False, True])
def test_the_nearest_other_input_is_that_of_a_search(tmp_path: Path, exact: bool):
    """The prior's inputs, some of them several times in the pool: an input is left out whole, not by its row."""
    pool = INPUTS if exact else rows()
    splits = {"train": pool[:1], "pool": pool, "target": INPUTS[:2]}
    store = write_store(tmp_path, splits, read, lambda x: {}, PRIOR if exact else None)
    for site in (COUNTS, LAST):
        delta, stored = store.distance(site), store.activations("pool", site)
        found = nearest(store, site, pool, stored)
        distances = delta.between(stored, stored).numpy()
        for row, tokens in enumerate(pool):
            others = [column for column, other in enumerate(pool) if other != tokens]
            assert found[row] == pytest.approx(distances[row, others].min(), abs=1e-5)
    alone = write_store(tmp_path / "alone", splits | {"pool": INPUTS[:1] * 2}, read, lambda x: {})
    assert np.isinf(nearest(alone, LAST, INPUTS[:1], alone.activations("pool", LAST)[:1])).all()


@pytest.fixture
def clusters(tmp_path: Path) -> Store:
    """Inputs in ten clusters of a plane; the last target lies between them."""
    rng = np.random.default_rng(3)
    centres = 5 * rng.normal(size=(10, 2))
    points = centres[rng.integers(10, size=900)] + 0.3 * rng.normal(size=(900, 2))
    points[-1] = [40.0, 40.0]
    inputs = [(0, row) for row in range(900)]
    splits = {"train": inputs[:1], "pool": inputs[:600], "target": inputs[600:]}
    store = write_store(tmp_path / "collect", splits, lambda x: {SITE: points[x[1]].tolist()}, lambda x: {})
    floors = [{"site": str(SITE), "inputs": 64, "median": 0.0, "floor": 0.0}]
    files.write_table(tmp_path / records.collect.NOISE_FLOOR.path, records.collect.NOISE_FLOOR.of(floors))
    (tmp_path / "reference").mkdir()
    return store


def test_targets_of_the_prior_are_inside_and_a_far_one_is_not(clusters: Store, tmp_path: Path):
    write_nearest(tmp_path / "reference", clusters, [SITE], seed=0)
    verdicts = pq.read_table(tmp_path / records.collect.TARGETS.path).to_pylist()
    assert [row["target"] for row in verdicts] == list(range(300))
    assert verdicts[-1]["outside"] and verdicts[-1]["nearest"] > 10 * verdicts[-1]["limit"]
    assert sum(row["outside"] for row in verdicts[:-1]) <= 9  # three are expected
    own = load_file(tmp_path / records.collect.NEAREST.path)[str(SITE)]
    assert len(own) == 600 and (np.diff(own) >= 0).all()


def test_the_targets_of_a_run_are_the_prior_s_own(world: World):
    for row in pq.read_table(world.run / records.collect.TARGETS.path).to_pylist():
        assert row["outside"] == (row["nearest"] > row["limit"])


FAR = Outside(True, 2.1, 0.3, 0.001)
TEXT_SITES = ["resid_post.0", "resid_post.1"]


def shown(table: object) -> str:
    screen = Console(file=io.StringIO(), width=200)
    screen.print(table)
    return screen.file.getvalue()


@pytest.fixture
def inverter(world: World) -> Inverter:
    return Inverter.load(world.run)


def explained(inverter: Inverter, monkeypatch: pytest.MonkeyPatch, far: list[str], target: int = 0) -> Explanation:
    """The explanation of a target at two sites, of which `far` are taken for outside of the prior."""
    inside = Outside(False, 0.1, 0.3, 0.5)
    verdict = lambda run, store, site, activation: FAR if str(site) in far else inside  # noqa: E731
    monkeypatch.setattr("inversescope.inverter.inverting.read_outside", verdict)
    text = inverter.run.store.inputs("target").texts[target]
    return explain(inverter, text, sites=TEXT_SITES, n=64, bandwidth=0.5)


def test_nothing_is_said_of_an_activation_outside(inverter: Inverter, monkeypatch: pytest.MonkeyPatch):
    explanation = explained(inverter, monkeypatch, TEXT_SITES)
    assert all(of_site.findings == () and of_site.verdict is None for of_site in explanation.sites)
    terminal = shown(explanation_table(explanation))
    assert terminal.startswith("outside of the prior") and "chance" not in terminal
    record = json.loads(json.dumps(explanation.record()))
    assert record["sites"][0]["inversion"]["outside"] == {
        "outside": True, "nearest": 2.1, "limit": 0.3, "p_value": 0.001
    }  # fmt: skip
    page = render(record)
    assert page.index("Outside of the prior") < page.index("<h1>")
    assert "is above chance at any site" not in page and "No hypothesis was proposed" not in page


def test_one_site_outside_leaves_the_others_as_they_are(inverter: Inverter, monkeypatch: pytest.MonkeyPatch):
    alone = (explained(inverter, monkeypatch, TEXT_SITES[:1], target) for target in range(8))
    target, one = next((i, each) for i, each in enumerate(alone) if each.sites[1].findings)
    both = explained(inverter, monkeypatch, [], target)
    assert one.sites[0].findings == ()
    own = {finding.hypothesis for finding in one.sites[1].findings}
    assert own <= {finding.hypothesis for finding in both.sites[1].findings}
    terminal, page = shown(explanation_table(one)), render(one.record())
    assert terminal.startswith("outside of the prior") and "resid_post.0: outside" in terminal
    assert "at 1 of 2 sites" in page and "outside" not in shown(explanation_table(both))


def test_an_inversion_says_first_that_it_is_outside(inverter: Inverter, monkeypatch: pytest.MonkeyPatch):
    text, site = inverter.run.store.inputs("target").texts[0], TEXT_SITES[1]
    inside = inverter.invert(text, site=site, bandwidth=0.5, n=8)
    monkeypatch.setattr("inversescope.inverter.inverting.read_outside", lambda *arguments: FAR)
    far = inverter.invert(text, site=site, bandwidth=0.5, n=8)
    assert far.outside == FAR and not inside.outside.outside
    assert shown(inversion_table(far)).startswith("outside of the prior: ")
    assert "that share it" in shown(inversion_table(inside)) and "that share it" not in shown(inversion_table(far))
    assert "outside of the prior" in far._repr_html_() and "outside" not in inside._repr_html_()


def test_an_input_of_the_pool_is_inside_and_a_far_activation_is_not(inverter: Inverter):
    pool, site = inverter.run.store.inputs("pool"), TEXT_SITES[1]
    found = inverter.invert(pool.texts[0], site=site, bandwidth=0.5, n=4).outside
    assert not found.outside and found.nearest < 1e-3
    from inversescope.collect.outside import read_outside

    where = Site.parse(site)
    far = inverter.run.store.activations("pool", where)[:1] + 9 * inverter.run.store.units(where).deviation
    verdict = read_outside(inverter.run.folder, inverter.run.store, where, torch.as_tensor(far))
    assert verdict.outside and verdict.nearest > 5
