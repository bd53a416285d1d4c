"""A file of a run that is not what was written is refused by whatever reads it, with both hashes; and so is an edit."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
from refusals import check, printed, refuses
from small_subject import World, call

from inversescope import files
from inversescope.errors import UserError

SOURCE = Path(files.__file__).parent
HASH = re.compile(r"\b[0-9a-f]{64}\b")
SITE = ("--site", "resid_post.1", "--bandwidth", "0.5")


def flip(path: Path, place: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


# Sealed files


def test_a_sealed_file_is_read_as_it_was_written(tmp_path: Path):
    value = {"a": [1, None, "é\n"], "sha256 of": {"b": {}}}
    files.write_sealed(tmp_path / "x.json", value)
    assert files.read_sealed(tmp_path / "x.json") == value
    written = json.loads((tmp_path / "x.json").read_text())
    assert written.keys() == {*value, files.SEAL}
    files.write_sealed(tmp_path / "empty.json", {})
    assert files.read_sealed(tmp_path / "empty.json") == {}


def test_every_flipped_bit_of_a_sealed_file_is_refused(tmp_path: Path):
    path = tmp_path / "x.json"
    files.write_sealed(path, {"a": 1, "b": "é"})
    whole = path.read_bytes()
    for place in range(len(whole)):
        for bit in range(8):
            flip(path, place, bit)
            with refuses(given=path, allowed=True, remedy=tmp_path):
                files.read_sealed(path)
            path.write_bytes(whole)
    for cut in (whole[:-1], whole + b"\n", b"", whole.replace(b": ", b":")):
        path.write_bytes(cut)
        with refuses(given=path):
            files.read_sealed(path)


# Files of a finished step


@pytest.fixture
def step(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    files.finish(tmp_path, [tmp_path / "one"])
    return tmp_path


def test_a_changed_file_is_refused_with_both_hashes_and_an_unchanged_one_passes(step: Path):
    assert files.verified(step / "one") == step / "one" and files.written(step / "one")
    (step / "one").write_text("onE")
    hashes = [hashlib.sha256(text).hexdigest() for text in (b"onE", b"one")]
    with refuses(given=(step / "one", hashes[0]), allowed=hashes[1], remedy=step):
        files.verified(step / "one")


def test_a_file_that_is_missing_or_not_of_the_step_is_refused(step: Path):
    with refuses(given=step / "two"):
        files.verified(step / "two")
    assert not files.written(step / "two") and not files.written(step / "three")
    (step / "one").unlink()
    with refuses(given=step / "one"):
        files.written(step / "one")


def test_a_file_of_an_unfinished_step_is_as_it_is(step: Path):
    (step / files.MANIFEST).unlink()
    (step / "one").write_text("onE")
    assert files.verified(step / "one") and files.written(step / "one") and not files.written(step / "three")


def test_states_of_steps_change_with_what_they_wrote_and_a_damaged_manifest_is_refused(tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        files.finish(tmp_path / name, [], step=name)
    before = files.states(tmp_path, "one", "two")
    files.finish(tmp_path / "two", [], step="again")
    after = files.states(tmp_path, "one", "two")
    assert before["one"] == after["one"] and before["two"] != after["two"]
    flip(tmp_path / "one" / files.MANIFEST, 8)
    with refuses(given=tmp_path / "one" / files.MANIFEST, allowed=True, remedy=tmp_path / "one"):
        files.states(tmp_path, "one", "two")


def test_a_file_is_hashed_once_until_it_is_written_again(step: Path, monkeypatch: pytest.MonkeyPatch):
    hashed, digest = [], hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *given: hashed.append(given) or digest(*given))
    for _ in range(3):
        files.verified(step / "one")
    assert not hashed  # `finish` has done it
    files.write(step / "one", lambda path: path.write_text("one"))
    for _ in range(3):
        files.verified(step / "one")
    assert len(hashed) == 1


# Every reader

READER = re.compile(
    r"\b(?:pq\.(?:read_table|read_metadata|read_schema|ParquetFile)|safe_open|load_file|files\.read_json)"
    r"\((?!files\.verified\()"
)
# Files of the user's and of caches, or of an unfinished step, and files that are verified a line before.
OWN_READERS = {
    "files.py": 1, "tasks/text_files.py": 1, "tasks/ravel.py": 1,
    "tasks/registry.py": 1, "features/feature_config.py": 1, "subject/tensor_files.py": 1, "collect/collect.py": 2,
    "sample/verify.py": 1, "causal/causal.py": 1, "disentangle/disentangle.py": 1, "arena/generated.py": 1,
    "calibrate/calibrate.py": 1, "inverter/sharing.py": 1,
    "cli/tables/runs.py": 1, "natural_text/pool.py": 2, "natural_text/ruler.py": 1, "natural_text/readings.py": 1,
    "subject/adapters.py": 1, "collect/reference.py": 1, "natural_text/evaluation/evaluation.py": 1, "score/mine.py": 1,
    "score/score.py": 1,
}  # fmt: skip


def unverified(code: str) -> int:
    return sum(not line.lstrip().startswith("def ") and bool(READER.search(line)) for line in code.splitlines())


def test_every_reader_of_a_runs_files_verifies_them():
    found = {str(path.relative_to(SOURCE)): unverified(path.read_text()) for path in SOURCE.rglob("*.py")}
    assert {path: count for path, count in found.items() if count} == OWN_READERS


def test_a_reader_that_does_not_verify_is_seen():
    assert unverified("    rows = pq.read_table(run / 'x.parquet')\n    with safe_open(path, 'pt') as tensors:") == 2
    assert (
        unverified("rows = files.read_table(path)\nsafe_open(files.verified(path), 'pt')\ndef load_file(x): ...") == 0
    )


# Commands


@pytest.fixture
def run(world: World, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world.run, tmp_path / "run"))


READING = {
    "verify/samples.parquet": ["resume", "compare", "power", "arena", "bundle"],
    "train/generator.safetensors": ["resume", "invert", "check"],
    "reference/bandwidths.parquet": ["resume", "invert", "compare", "arena", "check"],
    "score/results.json": ["resume", "step"],  # a copy, that the viewer does not read
    "score/results.parquet": ["resume", "bundle"],
    "task/accuracy.json": ["resume"],
    "collect/manifest.json": ["resume", "invert", "compare"],
    "collect/shards.json": ["resume", "invert", "check"],
    "manifest.json": ["resume"],
}


def commands(world: World, run: Path) -> dict[str, tuple[object, ...]]:
    levels = ("--bandwidth", "0.1", "--bandwidth", "0.5")
    claims = run.parent / "claims.jsonl"
    claims.write_text(json.dumps({"text": "Then, Michael", "site": "resid_post.1", "claim": "words > 1"}))
    return {
        "resume": ("run", world.config, "--out", run, "--resume"),
        "step": ("step", run, "report"),
        "invert": ("invert", "Then, Michael", *SITE, "--run", run, "-n", "2"),
        "compare": ("compare", run, "--feature", "subject", "--site", "resid_post.1", *levels),
        "power": ("power", run, "--feature", "subject", *SITE),
        "arena": ("arena", run, "--only", "reference"),
        "check": ("check", run, "--claims", claims, "--no-necessity", "-n", "8"),
        "bundle": ("view", run, "--bundle", run.parent / "bundle"),
    }


@pytest.mark.parametrize("name", READING)
def test_a_flipped_bit_is_noticed_by_the_commands_that_read_the_file(
    world: World, run: Path, name: str, capsys: pytest.CaptureFixture[str]
):
    flip(run / name, len((run / name).read_bytes()) // 2)
    for command in READING[name]:
        assert call(*commands(world, run)[command]) == 2, command
        error = printed(capsys.readouterr().err)
        check(error, given=run / name, allowed=True, remedy=True)
        assert len(set(HASH.findall(str(error)))) == 2, command


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("config.toml", "seed = 3", "seed = 4"),
        ("resolved.json", '"seed": 3', '"seed": 4'),
        ("provenance.json", '"python": "3', '"python": "2'),
    ],
)
def test_an_edit_of_the_runs_own_files_is_refused(
    world: World, run: Path, name: str, old: str, new: str, capsys: pytest.CaptureFixture[str]
):
    text = (run / name).read_text()
    assert old in text
    (run / name).write_text(text.replace(old, new, 1))
    for command in ("resume", "invert", "arena"):
        assert call(*commands(world, run)[command]) == 2
        error = printed(capsys.readouterr().err)
        check(error, given=run / name, remedy=True)
        assert len(set(HASH.findall(str(error)))) == 2
    (run / name).write_text(text)
    assert call(*commands(world, run)["resume"]) == 0


def test_a_config_that_an_extension_was_to_write_is_named(run: Path, world: World, capsys):
    for step in [path for path in run.iterdir() if path.is_dir() and path.name not in ("task", "collect")]:
        shutil.rmtree(step)
    (run / files.MANIFEST).unlink()
    larger, write = world.config.read_text().replace("targets = 4", "targets = 5"), files.write
    (run.parent / "larger.toml").write_text(larger)

    def dying(path: Path, save) -> None:
        if path.name == "config.toml":
            raise KeyboardInterrupt
        write(path, save)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inversescope.files.write", dying)
        assert call("extend", run, run.parent / "larger.toml") == 130
    capsys.readouterr()
    assert call("step", run, "collect") == 2
    check(printed(capsys.readouterr().err), remedy="inversescope extend")
    assert call("extend", run, run.parent / "larger.toml") == call("step", run, "collect") == 0
    assert isinstance(files.manifest(run / "collect"), dict) and (run / "config.toml").read_text() == larger


def test_a_run_without_hashes_is_refused(run: Path):
    (run / "resolved.json").write_text(json.dumps(files.read_sealed(run / "resolved.json"), indent=2) + "\n")
    with pytest.raises(UserError):
        files.read_sealed(run / "resolved.json")
