"""From draws to evidence: what is sampled is what the generator says, and verification is capture and arithmetic."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from subject_fixture import tiny_model
from toy_world import INPUTS, PRIOR, ToyTask, rows, write_store

from inversescope import files, records
from inversescope.collect.store import Store
from inversescope.generator import Generator, InputPCA, Vocabulary
from inversescope.progress import silent
from inversescope.records.levels import Level
from inversescope.sample import verify
from inversescope.sample.one_target import Source
from inversescope.sample.sample import sample
from inversescope.sites import Site
from inversescope.stats.kernel import Kernel
from inversescope.stats.weights import importance_weights, largest_reliable_shape
from inversescope.subject import Subject
from inversescope.tasks import Tokens
from inversescope.units import Units

RESIDUAL, HEAD = Site("resid_post", 1), Site("z", 2, 3)
SITES = (RESIDUAL, HEAD)
BANDWIDTHS = (0.2, 1.0)
SAMPLES = 12
# Inputs that the prior does not have, so that they were not collected.
STRANGE = [(0, *rest) for rest in ((7, 5), (5, 5), (5, 6), (6,), (6, 5), (6, 6), (7,), (7, 7), (5, 5, 5))]
# One was collected, one is drawn as well, and one is an edit alone, twice.
EDITS = [INPUTS[5], STRANGE[0], (0, 4, 5), (0, 4, 5)]
SPLITS = {"train": INPUTS[:4], "pool": rows(), "target": INPUTS[5:]}


class CountingSubject(Subject):
    """A subject that remembers how often it ran each input."""

    ran: Counter[Tokens]

    def capture(self, inputs: Sequence[Sequence[int]], sites: Sequence[Site], **options: Any) -> Any:
        self.ran.update(map(tuple, inputs))
        return super().capture(inputs, sites, **options)


def spell(tokens: Sequence[int]) -> str:
    return "".join(f"<{token}>" for token in tokens)


@pytest.fixture(scope="module")
def subject() -> CountingSubject:
    made = CountingSubject.from_model(tiny_model("llama"), encode=lambda text: [], decode=spell, prefix=(0,))
    made.ran = Counter()
    return made


def alone(subject: Subject, tokens: Tokens) -> dict[Site, Any]:
    """The activations of one input that is run by itself."""
    return {site: rows[0].tolist() for site, rows in Subject.capture(subject, [tokens], SITES).activations.items()}


@pytest.fixture(scope="module")
def store(subject: CountingSubject, tmp_path_factory: pytest.TempPathFactory) -> Store:
    known = {tokens: alone(subject, tokens) for tokens in INPUTS}
    return write_store(tmp_path_factory.mktemp("collect"), SPLITS, known.__getitem__, ToyTask().labels)


def write_draws(folder: Path) -> list[Path]:
    """Samples as a generator might draw them: inputs of the prior, others outside of it, and some that never ended."""
    rng = np.random.default_rng(0)
    choices: list[Tokens | None] = [*INPUTS, *STRANGE, None]
    paths = []
    for site in (*SITES, None):
        drawn = [
            {
                "method": "generator" if site else "no condition",
                "site": None if site is None else str(site), "resolution": None, "bandwidth": h,
                "target": target, "sample": i,
                "tokens": choices[rng.integers(len(choices))], "log_q": -rng.exponential(3),
            }
            for h in (BANDWIDTHS if site else (None,)) for target in range(3) for i in range(SAMPLES)
        ]  # fmt: skip
        paths.append(folder / f"draws-{len(paths)}.parquet")
        files.write_table(paths[-1], records.sample.DRAWS.of(drawn))
    edits = [
        dict.fromkeys(records.sample.DRAWS.names)
        | {"method": "edits", "target": target, "sample": i, "tokens": tokens}
        for target in range(3) for i, tokens in enumerate([*EDITS, None])
    ]  # fmt: skip
    paths.append(folder / "edits.parquet")
    files.write_table(paths[-1], records.sample.DRAWS.of(edits))
    return paths


def from_pool(store: Store) -> dict[str, np.ndarray]:
    """The distances that the step `reference` writes."""
    return {
        str(site): store.distance(site)
        .between(store.activations("pool", site), store.activations("target", site))
        .numpy()
        for site in SITES
    }


def run(folder: Path, store: Store, subject: Subject) -> list[dict]:
    folder.mkdir(exist_ok=True)
    path = verify.verify(folder, write_draws(folder.parent), store, ToyTask(), subject, from_pool(store), silent)
    return pq.read_table(path).to_pylist()


@pytest.fixture(scope="module")
def verified(store: Store, subject: CountingSubject, tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    subject.ran.clear()
    return run(tmp_path_factory.mktemp("run") / "verify", store, subject)


def test_each_distinct_sample_is_run_once_and_what_was_collected_not_again(
    verified: list[dict], subject: CountingSubject
):
    conditioned = {tuple(row["tokens"]) for row in verified if row["site"] and row["tokens"]}
    assert conditioned == {*INPUTS, *STRANGE, *EDITS}
    assert subject.ran == Counter({*STRANGE, EDITS[-1]})


def test_distances_are_those_of_inputs_run_one_by_one(verified: list[dict], subject: CountingSubject):
    known = {tokens: alone(subject, tokens) for tokens in [*INPUTS, *STRANGE, *EDITS]}
    for site in SITES:
        deviation = np.std([known[tokens][site] for tokens in rows()], axis=0, ddof=1)
        for row in verified:
            if row["site"] == str(site) and row["verified"]:
                z, target = (
                    np.array(known[tokens][site]) for tokens in (tuple(row["tokens"]), INPUTS[5 + row["target"]])
                )
                delta = np.sqrt((((z - target) / deviation) ** 2).mean())
                assert row["distance"] == pytest.approx(delta, abs=1e-4)
                assert row["accepted"] == (delta <= 0.1)
    assert {row["accepted"] for row in verified} == {True, False}


def test_weights_are_prior_times_kernel_over_the_chance_of_being_drawn(verified: list[dict]):
    groups = defaultdict(list)
    for row in verified:
        if row["method"] == "generator" and row["verified"]:
            groups[row["site"], row["bandwidth"], row["target"]].append(row)
    assert len(groups) == 2 * 2 * 3
    for (_, h, _), group in groups.items():
        repeats = Counter(tuple(row["tokens"]) for row in group)
        raw = [
            PRIOR.get(tokens, 0) * np.exp(-((row["distance"] / h) ** 2) / 2)
            / (1 - (1 - np.exp(row["log_q"])) ** SAMPLES) * (repeats.pop(tokens, 0) > 0)
            for row in group for tokens in [tuple(row["tokens"])]
        ]  # fmt: skip
        assert [row["weight"] for row in group] == pytest.approx(np.array(raw) / sum(raw))
        floor = PRIOR[INPUTS[5 + group[0]["target"]]]
        for row in group:
            assert row["log_normaliser"] == pytest.approx(np.log(sum(raw)))
            assert row["log_floor"] == pytest.approx(np.log(floor))


def test_equal_draws_stand_at_the_first_with_their_number(verified: list[dict]):
    groups = defaultdict(list)
    for row in verified:
        groups[row["method"], row["site"], row["bandwidth"], row["target"]].append(row)
    for group in groups.values():
        tokens = [None if row["tokens"] is None else tuple(row["tokens"]) for row in group]
        counts = Counter(tokens)
        assert [row["times"] for row in group] == [counts.pop(x, 0) for x in tokens]
        for row in group:
            assert row["source"] == (row["tokens"] is not None and tuple(row["tokens"]) == INPUTS[5 + row["target"]])
    assert any(row["source"] for row in verified) and any(row["times"] > 1 for row in verified)


class OneSource(verify._Targets):
    """Targets of which nothing but the source's term is known."""

    kernel = Kernel.GAUSSIAN

    def __init__(self) -> None:
        pass

    def source(self, site: str, bandwidth: float, target: int) -> Source:
        return Source((), 0.0, 0.1)


def test_the_tail_of_a_targets_weights_is_stored_with_each_of_its_samples():
    rng, n = np.random.default_rng(0), 100
    log_posterior = np.r_[rng.normal(0, 3, n), np.zeros(n)]  # the second target's weights have no tail
    table = pa.table({
        "method": ["generator"] * 2 * n, "log_q": np.full(2 * n, -30.0), "site": ["resid_post.0"] * 2 * n,
        "resolution": pa.nulls(2 * n, pa.float64()), "bandwidth": np.full(2 * n, 0.1), "target": np.repeat([0, 1], n),
    })  # fmt: skip
    inputs = [(i,) for i in range(2 * n)]
    columns = verify._weight_columns(table, inputs, np.zeros(2 * n), log_posterior, OneSource())
    expected = importance_weights(log_posterior[:n], np.full(n, -30.0), range(n))
    assert columns["weight"].to_pylist()[:n] == expected.weights.tolist()
    assert set(columns["pareto_k"].to_pylist()[:n]) == {expected.shape}
    assert set(columns["pareto_k"].to_pylist()[n:]) == {None}
    assert columns["unreliable"].to_pylist() == [expected.shape > largest_reliable_shape(n)] * n + [False] * n


def test_what_never_ended_is_unverified_and_undefined(verified: list[dict]):
    lost = [row for row in verified if row["tokens"] is None]
    assert lost and all(row["tokens"] for row in verified if row["verified"])
    for row in lost:
        assert not row["verified"] and not row["accepted"] and not row["in_train"]
        assert {row[name] for name in ("text", "log_prior", "distance", "weight", "label.last")} == {None}
        assert not row["source"]
        assert (row["log_q"] is None) == (row["method"] == "edits")


def test_an_edit_is_measured_at_every_site_and_has_no_weight(verified: list[dict]):
    edits = [row for row in verified if row["method"] == "edits"]
    assert [(row["site"], row["target"], row["sample"]) for row in edits] == [
        (str(site), target, i) for site in SITES for target in range(3) for i in range(len(EDITS) + 1)
    ]
    for row in edits:
        assert (row["tokens"] is None) == (row["distance"] is None)
        assert {row[name] for name in ("bandwidth", "log_q", "weight")} == {None}
    assert any(row["accepted"] for row in edits)


def test_what_is_read_off_a_sample_is_its_own(verified: list[dict]):
    for row in verified:
        if row["verified"]:
            tokens = tuple(row["tokens"])
            assert row["text"] == spell(tokens[1:])
            assert row["in_train"] == (tokens in INPUTS[:4])
            assert row["log_prior"] == pytest.approx(np.log(PRIOR[tokens]) if tokens in PRIOR else -np.inf)
            assert row["label.last"] == {3: "three", 4: "four"}.get(tokens[-1])


def test_draws_without_a_condition_have_labels_and_no_distance(verified: list[dict]):
    free = [row for row in verified if row["site"] is None]
    assert len(free) == 3 * SAMPLES
    for row in free:
        assert row["method"] == "no condition"
        assert (row["bandwidth"], row["distance"], row["weight"], row["accepted"]) == (None, None, None, False)
    assert {row["method"] for row in verified if row["site"]} == {"generator", "edits"}
    assert any(row["label.last"] for row in free)


def test_an_interrupted_verification_goes_on_where_it_was(
    verified: list[dict], store: Store, subject: CountingSubject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(verify, "CHUNK", 3)
    assert run(tmp_path / "verify", store, subject) == [
        row | {name: pytest.approx(row[name], abs=1e-5) for name in ("distance", "weight") if row[name] is not None}
        for row in verified
    ]
    parts = sorted((tmp_path / "verify").glob("part-*.parquet"))
    assert len(parts) == 4  # ten distinct inputs that were not collected
    before = (tmp_path / "verify" / "samples.parquet").read_bytes()
    parts[1].unlink()
    subject.ran.clear()
    run(tmp_path / "verify", store, subject)
    assert subject.ran.total() == 3
    assert (tmp_path / "verify" / "samples.parquet").read_bytes() == before


@pytest.fixture(scope="module")
def generator(store: Store) -> Generator:
    """Untrained; it serves both sites."""
    torch.manual_seed(0)
    vocabulary = Vocabulary.of(INPUTS)
    encoded = vocabulary.encode(SPLITS["pool"])
    activations = {site: store.activations("pool", site) for site in SITES}
    pca = InputPCA.of(encoded, 16)
    made = Generator(
        vocabulary, encoded.shape[1],
        {site: z.shape[1] for site, z in activations.items()}, dict.fromkeys(SITES, (0.02, 2.0)),
        stored=len(encoded), indicators=pca.sizes, encoder="regression", conditioning="adaln", decoder=(16, 1, 2),
    )  # fmt: skip
    units = {site: Units.of(z) for site, z in activations.items()}
    made.fit(activations, units, pca, dict.fromkeys(SITES, torch.zeros(len(encoded))))
    return made.eval()


def draw_all(folder: Path, store: Store, generator: Generator, seed: int = 0) -> list[Path]:
    levels = {site: [Level(None, h) for h in BANDWIDTHS] for site in SITES}
    return sample(folder, store, generator, levels, SAMPLES, seed, silent)


def test_every_target_site_and_bandwidth_has_its_samples_and_their_log_probabilities(
    store: Store, generator: Generator, tmp_path: Path
):
    paths = draw_all(tmp_path, store, generator)
    for site, path in zip((*SITES, None), paths[:-1], strict=True):
        table = pq.read_table(path).to_pylist()
        keys = [(row["site"], row["bandwidth"], row["target"], row["sample"]) for row in table]
        name = None if site is None else str(site)
        assert keys == [
            (name, h, target, i)
            for h in (BANDWIDTHS if site else (None,))
            for target in range(3)
            for i in range(SAMPLES)
        ]
        ended = [row for row in table if row["tokens"] is not None]
        assert ended
        encoded = generator.vocabulary.encode([row["tokens"] for row in ended])
        with torch.no_grad():
            if site is None:
                condition = generator.no_condition(len(ended))
            else:
                z = store.activations("target", site)[[row["target"] for row in ended]]
                condition = generator.condition(site, z, torch.tensor([row["bandwidth"] for row in ended]))
            nats = generator.nats(encoded, condition)
        assert [row["log_q"] for row in ended] == pytest.approx((-nats).tolist(), abs=1e-4)


def test_every_target_is_edited_as_often_as_it_is_sampled(store: Store, generator: Generator, tmp_path: Path):
    table = pq.read_table(draw_all(tmp_path, store, generator)[-1]).to_pylist()
    assert [(row["target"], row["sample"]) for row in table] == [(t, i) for t in range(3) for i in range(SAMPLES)]
    for row in table:
        assert (row["method"], row["site"], row["bandwidth"], row["log_q"]) == ("edits", None, None, None)
        source, edit = INPUTS[5 + row["target"]], tuple(row["tokens"])
        assert edit != source and len(edit) == len(source)


def test_sampling_goes_on_where_it_was_and_follows_from_the_seed(store: Store, generator: Generator, tmp_path: Path):
    paths = draw_all(tmp_path / "one", store, generator)
    hashes = [files.sha256(path) for path in paths]
    paths[1].unlink()
    assert [files.sha256(path) for path in draw_all(tmp_path / "one", store, generator)] == hashes
    other = [files.sha256(path) for path in draw_all(tmp_path / "two", store, generator, seed=1)]
    assert not set(other) & set(hashes)
