"""What `collect` leaves: splits of the prior, and activations that are what the subject shows, row by row."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from refusals import refuses
from safetensors import safe_open
from safetensors.torch import load_file
from small_subject import World, call, config_text

from inversescope import files
from inversescope.cluster import parts
from inversescope.collect import collect as collecting
from inversescope.collect.collect import collect
from inversescope.collect.inputs import SPLITS
from inversescope.collect.store import SHARDS, Store
from inversescope.progress import silent
from inversescope.run.run import Run
from inversescope.sites import Site
from inversescope.tasks import TextsConfig, load_task


@pytest.fixture
def run(world: World) -> Run:
    return Run.open(world.run)


def gather(run: Run, folder: Path, seed: int = 3, **changes: object) -> Store:
    """Collect into another folder with a changed config."""
    folder.mkdir(exist_ok=True)
    config = run.config.collect.model_copy(update=changes)
    collect(folder, config, run.task, run.subject, run.sites, seed, silent)
    return Store(folder)


def test_the_splits_have_their_sizes_and_share_no_input(run: Run):
    tokens = {split: run.store.inputs(split).tokens for split in SPLITS}
    assert {split: len(rows) for split, rows in tokens.items()} == {"train": 30, "pool": 24, "target": 4}
    assert not any(
        set(tokens[a]) & set(tokens[b]) for a, b in (("train", "pool"), ("train", "target"), ("pool", "target"))
    )
    assert len(set(tokens["target"])) == 4


def test_the_splits_repeat_inputs_as_the_prior_does(run: Run, tmp_path: Path):
    """Of 48 equally likely inputs, each that is in a split is as frequent in it as any other."""
    store = gather(run, tmp_path, sites=("resid_post.0",), train=1200, pool=1200, targets=4, shard=2000)
    counted = [Counter(store.inputs(split).tokens) for split in ("train", "pool")]
    assert sum(map(len, counted)) == 48 - 4
    for counts in counted:
        expected = 1200 / len(counts)
        chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
        assert chi_square < 2.5 * len(counts)  # its mean is one less than the number of inputs


def test_row_by_row_activations_are_those_of_the_subject(run: Run):
    for split in SPLITS:
        inputs = run.store.inputs(split).tokens
        for site in run.sites[split]:
            stored = run.store.activations(split, site)
            assert stored.shape == (len(inputs), run.subject.dimension(site))
            for row in (0, len(inputs) // 2, len(inputs) - 1):
                alone = run.subject.capture([inputs[row]], [site]).activations[site][0]
                torch.testing.assert_close(stored[row], alone, rtol=1e-4, atol=1e-5)


def test_texts_and_labels_belong_to_the_inputs(run: Run):
    inputs = run.store.inputs("pool")
    assert inputs.texts == [run.subject.decode(tokens) for tokens in inputs.tokens]
    assert set(inputs.labels) == set(run.task.features)
    for feature, values in inputs.labels.items():
        assert values == [run.task.labels(tokens)[feature] for tokens in inputs.tokens]


def test_the_statistics_are_those_of_the_pool(run: Run):
    for site in run.sites["pool"]:
        rows, units = run.store.activations("pool", site).double().numpy(), run.store.units(site)
        assert units.count == len(rows) == 24
        np.testing.assert_allclose(units.mean, rows.mean(0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(units.deviation, rows.std(0, ddof=1), rtol=1e-4, atol=1e-5)


def test_the_noise_floor_is_the_distance_of_two_readings(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In float32 next to nothing; of a subject that rounds by a hundredth of a standard deviation, a hundredth."""
    table = pq.read_table(run.folder / "collect" / "noise_floor.parquet").to_pylist()
    assert [row["site"] for row in table] == [str(site) for site in run.sites["pool"]]
    assert all(row["inputs"] == 8 and 0 <= row["median"] <= row["floor"] < 1e-4 for row in table)
    capture, rng = run.subject.capture, torch.Generator().manual_seed(0)

    def rounded(inputs, sites, **options):
        captured = capture(inputs, sites, **options)
        for site, rows in captured.activations.items():
            noise = torch.randn(rows.shape, generator=rng) * run.store.units(site).deviation
            captured.activations[site] = rows + 0.01 / 2**0.5 * noise  # of both readings
        return captured

    monkeypatch.setattr(run.subject, "capture", rounded)
    store = gather(run, tmp_path)
    for row in pq.read_table(tmp_path / "noise_floor.parquet").to_pylist():
        assert 0.006 < row["median"] < 0.014 and row["median"] < row["floor"] < 0.025
        assert store.noise_floor(Site.parse(row["site"])) == row["floor"]


def test_only_the_generators_sites_are_read_for_training(run: Run):
    with refuses("train", given="z.1.1", allowed=("resid_post.0", "resid_post.1")):
        run.store.activations("train", Site.parse("z.1.1"))
    assert len(run.store.activations("pool", Site.parse("z.1.1"))) == 24


def test_the_seed_decides_and_the_shards_do_not(run: Run, tmp_path: Path):
    again, other = gather(run, tmp_path / "again", shard=7), gather(run, tmp_path / "other", seed=4)
    for split in SPLITS:
        assert again.inputs(split).tokens == run.store.inputs(split).tokens != other.inputs(split).tokens
        for site in run.sites[split]:
            expected = run.store.activations(split, site)
            torch.testing.assert_close(again.activations(split, site), expected, rtol=1e-4, atol=1e-5)


def test_it_goes_on_after_the_last_shard(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Interrupted before the third shard, only what is missing is read, and the files come out the same."""
    read, capture = [], run.subject.capture

    def counted(inputs, *arguments, **options):
        if len(read) == 2:
            raise KeyboardInterrupt
        read.append(len(inputs))
        return capture(inputs, *arguments, **options)

    monkeypatch.setattr(run.subject, "capture", counted)
    with pytest.raises(KeyboardInterrupt):
        gather(run, tmp_path)
    assert read == [8, 8] and sum(name.endswith(".safetensors") for name in parts.named(tmp_path)) == 2
    read[:] = [0, 0, 0]
    gather(run, tmp_path)
    assert sum(read) == 30 + 24 + 4 - 16 + 8  # a shard is read again, for the noise floor
    manifest = files.check(run.folder / "collect")
    assert {name: hash for name, hash in contents(tmp_path).items() if name != parts.LEDGER} == manifest["files"]


@pytest.mark.parametrize("swapped", [False, True])
def test_a_shard_of_other_inputs_is_noticed_before_the_step_is_done(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swapped: bool
):
    """The list gives two shards of the pool each other's rows; their hashes are right."""
    listing, shards = collecting._list_kept, list[dict]()

    def list_wrongly(store: Store) -> None:
        listing(store)
        listed = files.read_json(tmp_path / SHARDS) if (tmp_path / SHARDS).exists() else []
        shards[:] = [shard for shard in listed if shard["split"] == "pool"]
        if shards and swapped:
            for key in ("file", "sha256"):
                shards[0][key], shards[1][key] = shards[1][key], shards[0][key]
            files.write_json(tmp_path / SHARDS, listed)

    monkeypatch.setattr(collecting, "_list_kept", list_wrongly)
    with refuses("inputs.parquet") if swapped else nullcontext():
        gather(run, tmp_path)
    assert len(shards) > 1 and (tmp_path / "statistics.safetensors").exists() is not swapped


def test_too_few_inputs_are_told_by_split(run: Run, tmp_path: Path):
    with refuses(given="of 50", remedy="collect.targets"):
        gather(run, tmp_path, targets=50)
    assert list(tmp_path.iterdir()) == []


def test_every_row_of_a_file_is_used_once(world: World, tmp_path: Path):
    """Own texts are the prior: eleven rows, of which one comes twice, are enough for splits of ten."""
    names = ("Paul", "Lisa", "Mark", "Sean", "Erin", "Adam", "Eric", "Kyle", "Amy", "Jose", "Amy")
    texts = [f"Then, Mary and {name} went" for name in names]
    (tmp_path / "texts.txt").write_text("\n".join(texts))
    text = config_text(world.model)
    start, end = text.index("[task]"), text.index("[collect]")
    task = f'[task]\nname = "texts"\npath = "{tmp_path / "texts.txt"}"\n'
    text = (text[:start] + task + text[end:]).replace("train = 30", "train = 5").replace("pool = 24", "pool = 3")
    (tmp_path / "run.toml").write_text(text.replace("targets = 4", "targets = 2"))
    assert call("run", tmp_path / "run.toml", "--out", tmp_path / "run", "--until", "collect") == 0
    table = pq.read_table(tmp_path / "run" / "collect" / "inputs.parquet")
    found = Counter(table["text"].to_pylist())
    assert len(table) == 10 and found <= Counter(texts)
    accuracy = files.read_json(tmp_path / "run" / "task" / "accuracy.json")
    assert accuracy == {"defined": False} | dict.fromkeys(("value", "low", "high", "n", "what", "needed"))


def test_every_input_of_the_prior_is_read_once_and_serves_train_and_pool(run: Run, tmp_path: Path):
    store = gather(run, tmp_path, train="all", pool="all", targets=4)
    prior, pool = dict(run.task.enumerate()), store.inputs("pool")
    assert len(pool) == len(prior) == 48
    assert dict(zip(pool.tokens, pool.probability.tolist(), strict=True)) == prior
    assert store.exact and store.inputs("train").tokens == pool.tokens
    assert set(store.inputs("target").tokens) <= set(prior)
    site = run.sites["train"][0]
    assert torch.equal(store.activations("train", site), store.activations("pool", site))
    assert not list(tmp_path.glob("train-*"))
    standardized = store.units(site).standardize(store.activations("pool", site)).double()
    weights = torch.tensor(pool.probability)
    assert float((weights @ standardized).abs().max()) == pytest.approx(0, abs=1e-5)
    varying = store.units(site).deviation > 0
    assert (weights @ standardized**2)[varying].tolist() == pytest.approx([1.0] * int(varying.sum()), abs=1e-4)


def test_the_pool_may_be_the_whole_prior_and_train_a_sample_of_it(run: Run, tmp_path: Path):
    store = gather(run, tmp_path, train=20, pool="all", targets=4)
    assert store.exact and len(store.inputs("train")) == 20
    assert not store.inputs("train").exact
    assert not set(store.inputs("train").tokens) & set(store.inputs("target").tokens)
    assert not gather(run, tmp_path / "draws", train=20, pool=20, targets=4).exact


# Extending


def contents(folder: Path) -> dict[str, str]:
    return {path.name: files.sha256(path) for path in folder.iterdir()}


def counting(run: Run, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many inputs the subject reads at once from now on."""
    read, capture = [], run.subject.capture

    def counted(inputs, *arguments, **options):
        read.append(len(inputs))
        return capture(inputs, *arguments, **options)

    monkeypatch.setattr(run.subject, "capture", counted)
    return read


def test_more_inputs_stand_behind_those_that_are_there(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = gather(run, tmp_path)
    old, shards = {split: before.inputs(split) for split in SPLITS}, contents(tmp_path)
    read = counting(run, monkeypatch)
    store = gather(run, tmp_path, train=45, pool=30, targets=6, shard=20)
    assert read == [15, 6, 2, 15]  # the last for the noise floor
    homes = Counter()
    for split, size in (("train", 45), ("pool", 30), ("target", 6)):
        inputs = store.inputs(split)
        assert len(inputs) == size and inputs.tokens[: len(old[split])] == old[split].tokens
        assert inputs.labels["subject"][: len(old[split])] == old[split].labels["subject"]
        homes.update(set(inputs.tokens))
        for site in run.sites[split]:
            alone = run.subject.capture(inputs.tokens, [site]).activations[site]
            torch.testing.assert_close(store.activations(split, site), alone, rtol=1e-4, atol=1e-5)
    assert max(homes.values()) == 1 and len(set(store.inputs("target").tokens)) == 6
    kept = {name: hash for name, hash in contents(tmp_path).items() if name in shards and name.endswith(".safetensors")}
    assert {name for name, hash in kept.items() if hash != shards[name]} == {"statistics.safetensors"}
    units = store.units(Site.parse("resid_post.1"))
    rows = store.activations("pool", Site.parse("resid_post.1")).double()
    torch.testing.assert_close(units.mean.double(), rows.mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(units.deviation.double(), rows.std(0), rtol=1e-4, atol=1e-5)


def test_more_sites_are_read_of_all_inputs_and_no_site_twice(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    all_sites = run.sites
    few = {split: sites[:2] for split, sites in all_sites.items()}
    folder, config = tmp_path, run.config.collect
    arguments = (folder, config, run.task, run.subject)
    collect(*arguments, few, 3, silent)
    first = {shard["file"] for shard in files.read_json(folder / "shards.json")}
    asked, capture = [], run.subject.capture

    def counted(inputs, sites, **options):
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append({str(site) for site in sites})
        return capture(inputs, sites, **options)

    monkeypatch.setattr(run.subject, "capture", counted)
    with pytest.raises(KeyboardInterrupt):
        collect(*arguments, all_sites, 3, silent)
    monkeypatch.undo()
    collect(*arguments, all_sites, 3, silent)
    old = {str(site) for site in few["pool"]}
    shards = files.read_json(folder / "shards.json")
    assert len(first) == 4 + 3 + 1 < len(shards)
    for shard in (shard for shard in shards if shard["file"] not in first):
        with safe_open(folder / shard["file"], "pt") as tensors:
            assert not old & set(tensors.keys())
    store, whole = Store(folder), gather(run, tmp_path / "whole")
    for split in SPLITS:
        for site in all_sites[split]:
            torch.testing.assert_close(
                store.activations(split, site), whole.activations(split, site), rtol=1e-4, atol=1e-5
            )
    one, other = (load_file(path / "statistics.safetensors") for path in (folder, tmp_path / "whole"))
    assert one.keys() == other.keys()
    assert sum(len(store.shards(split)) for split in SPLITS) == 16


def test_a_file_gives_no_row_twice_when_there_are_to_be_more(run: Run, tmp_path: Path):
    texts = [f"Then, Mary and {name} went" for name in ("Paul", "Lisa", "Mark", "Sean", "Erin", "Adam", "Amy", "Amy")]
    (tmp_path / "texts.txt").write_text("\n".join(texts))
    task = load_task(TextsConfig(path=tmp_path / "texts.txt"), run.subject)
    folder = tmp_path / "store"
    folder.mkdir()
    for train in (1, 2, 3):
        config = run.config.collect.model_copy(update={"train": train, "pool": 2, "targets": 2})
        collect(folder, config, task, run.subject, run.sites, 3, silent)
        found = Counter(text for split in SPLITS for text in Store(folder).inputs(split).texts)
        assert found <= Counter(texts) and found.total() == train + 4
    with refuses(given="of 6", remedy="collect.train"):
        config = run.config.collect.model_copy(update={"train": 6, "pool": 2, "targets": 2})
        collect(folder, config, task, run.subject, run.sites, 3, silent)
    assert len(Store(folder).inputs("train")) == 3


def test_what_goes_to_disk_is_said_before_and_refused_if_it_does_not_fit(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    said = []
    arguments = (run.config.collect, run.task, run.subject, run.sites, 3)
    (tmp_path / "fits").mkdir()
    collect(tmp_path / "fits", *arguments, lambda *progress: said.append(progress))
    width = {"train": 16 + 16 + 8, "pool": 16 + 16 + 8 + 8, "target": 16 + 16 + 8 + 8}
    needed = 4 * (30 * width["train"] + 24 * width["pool"] + 4 * width["target"])
    assert said[0][:2] == (0, 58) and f"{needed / 1000:.3g} kB" in said[0][2]
    assert said[-1][:2] == (58, 58)
    shards = sum(path.stat().st_size for path in (tmp_path / "fits").glob("*-*.safetensors"))
    assert needed <= shards <= needed + 8 * 600  # a header each
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=needed - 1))
    (tmp_path / "full").mkdir()
    with refuses(given=("10.2 kB", tmp_path / "full"), allowed="10.2 kB", remedy=True):
        collect(tmp_path / "full", *arguments, lambda *progress: None)
    assert not list((tmp_path / "full").glob("*.safetensors"))
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=0))
    collect(tmp_path / "fits", *arguments, lambda *progress: said.append(progress))  # nothing is left to write
    assert said[-1][2].count("0 B") == 2  # to write, and free


def test_no_more_than_a_shard_is_held(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What is read at once does not grow with the number of inputs, nor do the statistics load a site whole."""
    # The task of a run that is not collected: this one would give its own inputs the labels that it wrote.
    monkeypatch.setattr(run, "task", load_task(run.config.task, run.subject))
    monkeypatch.setattr(Store, "activations", lambda *_: pytest.fail("a site was loaded whole"))
    monkeypatch.setattr(Store, "inputs", lambda *_: pytest.fail("a split was loaded whole"))
    read = counting(run, monkeypatch)
    gather(run, tmp_path, train=300, pool=200)
    assert max(read) == 8 and sum(read) == 504 + 8
