"""An inverter as a folder: it gives the answers of its run, holds nothing that can run, and says what is in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import RepositoryNotFoundError
from refusals import refuses
from small_subject import World, save_subject

from inversescope.explain import explain
from inversescope.inverter import Inversion, Inverter
from inversescope.inverter.sharing import HUB, KINDS, local

SITE, H, N = "resid_post.1", 0.5, 24


@pytest.fixture(scope="module")
def inverter(world: World) -> Inverter:
    return Inverter.load(world.run)


@pytest.fixture(scope="module")
def text(inverter: Inverter) -> str:
    return inverter.run.store.inputs("target").texts[0]


@pytest.fixture(scope="module")
def saved(inverter: Inverter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared") / "inverter"
    inverter.save(folder, licence="cc-by-4.0")
    return folder


def same(found: Inversion, own: Inversion) -> bool:
    def facts(inversion: Inversion) -> list[Any]:
        return [(s.tokens, s.times, s.labels, s.log_q) for s in inversion.samples]

    assert found.outside.nearest == pytest.approx(own.outside.nearest, abs=1e-4)
    assert found.typical.prior == pytest.approx(own.typical.prior, abs=1e-4)
    return facts(found) == facts(own) and found.bandwidth == own.bandwidth


@pytest.mark.parametrize("store", [False, True])
def test_a_saved_inverter_gives_the_answers_of_its_run(inverter: Inverter, text: str, tmp_path: Path, store: bool):
    inverter.save(tmp_path / "deep" / "inverter", store=store)
    loaded = Inverter.load(tmp_path / "deep" / "inverter")
    shards = list((tmp_path / "deep" / "inverter" / "collect").glob("pool-*"))
    assert bool(shards) == store
    for site in (SITE, "z.1.0"):
        assert same(
            loaded.invert(text, site=site, n=N, bandwidth=H), inverter.invert(text, site=site, n=N, bandwidth=H)
        )


def test_it_explains_as_its_run_does(inverter: Inverter, text: str, saved: Path):
    found, own = (explain(x, text, sites=SITE, n=40, bandwidth=H) for x in (Inverter.load(saved), inverter))
    facts = [
        [(f.hypothesis, f.value, pytest.approx(f.corrected.value, nan_ok=True)) for f in x.sites[0].findings]
        for x in (found, own)
    ]
    assert facts[0] == facts[1]


def test_it_holds_data_alone_and_every_file_with_its_hash(saved: Path):
    found = [path for path in saved.rglob("*") if path.is_file()]
    assert {path.suffix for path in found} <= set(KINDS)
    assert not [path for path in found if path.name.startswith((".", "checkpoint", "pool-", "train-", "target-"))]
    shutil.copytree(saved, saved.parent / "damaged")
    (saved.parent / "damaged" / "train" / "generator.json").write_text("{}")
    with refuses("generator.json"):
        Inverter.load(saved.parent / "damaged")


def test_the_card_says_what_it_is_made_of(inverter: Inverter, saved: Path):
    card = (saved / "README.md").read_text(encoding="utf-8")
    assert inverter.run.subject.fingerprint in card and "license: cc-by-4.0" in card and '"ioi"' in card
    assert all(f"| {site} |" in card for site in inverter.sites) and "verdicts over" in card
    assert json.loads((saved / "inverter.json").read_text())["stored_activations"] is False


def test_a_saved_inverter_can_be_saved_again(saved: Path, text: str, tmp_path: Path):
    Inverter.load(saved).save(tmp_path / "again")
    assert Inverter.load(tmp_path / "again").invert(text, site=SITE, n=2, bandwidth=H).tokens is not None


def test_the_model_may_lie_elsewhere_and_must_be_the_same(saved: Path, inverter: Inverter, tmp_path: Path):
    shutil.copytree(inverter.run.config.subject.model, tmp_path / "model")
    assert Inverter.load(saved, model=str(tmp_path / "model")).sites == inverter.sites
    with refuses("nowhere"):
        Inverter.load(saved, model=str(tmp_path / "nowhere"))
    with refuses(inverter.run.subject.fingerprint[:16]):
        Inverter.load(saved, model=str(save_subject(tmp_path / "other", seed=1)))


def test_the_card_names_no_path_of_this_machine(saved: Path, inverter: Inverter):
    assert json.loads((saved / "provenance.json").read_text())["config"] == {"folder": ".", "from_run": "."}
    card = (saved / "README.md").read_text()
    paths = inverter.run.folder.parent, Path(inverter.run.config.subject.model).parent
    assert not any(str(path) in card for path in paths)


def test_what_cannot_be_shared_is_refused(inverter: Inverter, saved: Path, monkeypatch: pytest.MonkeyPatch):
    with refuses(saved):
        inverter.save(saved)
    subject = inverter.run.config.subject.model_copy(update={"projections": {"probe": Path("probe.npy")}})
    config = inverter.run.config.model_copy(update={"subject": subject})
    monkeypatch.setattr(inverter.run, "config", config)
    with refuses("probe.npy"):
        inverter.save(saved.parent / "other")
    assert not (saved.parent / "other").exists()


class FakeHub:
    """A hub in a folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def api(self) -> Any:
        return SimpleNamespace(create_repo=self.create, upload_folder=self.upload)

    def create(self, name: str, private: bool | None, exist_ok: bool) -> str:
        (self.folder / name).mkdir(parents=True, exist_ok=exist_ok)
        return f"hub/{name}"

    def upload(self, repo_id: str, folder_path: Path, commit_message: str) -> None:
        shutil.copytree(folder_path, self.folder / repo_id, dirs_exist_ok=True)
        (self.folder / repo_id / "harm.py").write_text("raise SystemExit")

    def download(self, name: str, allow_patterns: list[str]) -> str:
        if not (self.folder / name).exists():
            raise RepositoryNotFoundError("no such repository", response=SimpleNamespace(headers={}, request=None))
        taken = self.folder / "cache" / name
        for path in (self.folder / name).rglob("*"):
            if any(path.match(pattern) for pattern in allow_patterns):
                (taken / path.relative_to(self.folder / name)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, taken / path.relative_to(self.folder / name))
        return str(taken)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", fake.api)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake.download)
    return fake


def test_it_goes_to_the_hub_and_comes_back(inverter: Inverter, text: str, hub: FakeHub):
    assert inverter.push_to_hub("someone/inverter") == "hub/someone/inverter"
    for name in ("someone/inverter", f"{HUB}someone/inverter"):
        loaded = Inverter.load(name)
        assert same(
            loaded.invert(text, site=SITE, n=N, bandwidth=H), inverter.invert(text, site=SITE, n=N, bandwidth=H)
        )
        assert not list(loaded.run.folder.rglob("*.py"))


def test_names_that_are_not_on_the_hub_are_refused(
    inverter: Inverter, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with refuses("someone/other"):
        Inverter.load("someone/other")
    with refuses("owner/name"):
        inverter.push_to_hub("inverter")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert local("runs/demo") == Path("runs/demo")  # the folder is there, so that a missing run is no name on the hub
    with refuses("runs/demo"):
        Inverter.load("runs/demo")
