"""A collected run asked for more, through the command line: what is there is kept, and what does not fit is refused."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from refusals import check, printed
from small_subject import World, call, config_text

from inversescope import files
from inversescope.collect.store import Store
from inversescope.sites import Site


@pytest.fixture
def collected(world: World, tmp_path: Path) -> Path:
    """A copy of the finished run, with everything after `collect` undone."""
    run = tmp_path / "run"
    for step in ("task", "collect"):
        shutil.copytree(world.run / step, run / step)
    for name in ("config.toml", "resolved.json", "provenance.json"):
        shutil.copy(world.run / name, run / name)
    return run


@pytest.fixture
def config(world: World, tmp_path: Path) -> Callable[..., Path]:
    def write(*changes: tuple[str, str]) -> Path:
        text = config_text(world.model)
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        (tmp_path / "more.toml").write_text(text)
        return tmp_path / "more.toml"

    return write


MORE = (("train = 30", "train = 40"), ("targets = 4", "targets = 5"), ('"z.1.*"]', '"z.1.*", "mlp_out.0"]'))


@pytest.mark.slow
def test_a_run_that_was_extended_goes_on_to_the_report(world: World, collected: Path, config, capsys):
    old = Store(collected / "collect").inputs("train")
    toml = config(*MORE)
    assert call("extend", collected, toml) == 0
    assert f"inversescope step {collected} collect" in " ".join(capsys.readouterr().err.split())
    assert not files.finished(collected / "collect")
    assert call("step", collected, "collect") == 0
    assert re.search(r"\bcollect +0/\d+\b.* [\d.]+ kB", capsys.readouterr().err)
    store = Store(collected / "collect")
    assert len(store.inputs("train")) == 40 and store.inputs("train").tokens[:30] == old.tokens
    assert len(store.activations("target", Site.parse("mlp_out.0"))) == 5
    assert call("run", toml, "--out", collected, "--resume") == 0
    assert (collected / "report" / "report.html").exists()


def test_an_extension_that_was_interrupted_can_be_asked_for_again(
    collected: Path, config, monkeypatch: pytest.MonkeyPatch
):
    toml, write = config(*MORE), files.write

    def dying(path: Path, save: Callable[[Path], object]) -> None:
        if path.name == "resolved.json":
            raise KeyboardInterrupt
        write(path, save)

    with monkeypatch.context() as patch:
        patch.setattr("inversescope.files.write", dying)
        assert call("extend", collected, toml) == 130
    assert "mlp_out.0" not in (collected / "resolved.json").read_text()
    assert call("extend", collected, toml) == call("step", collected, "collect") == 0
    assert "mlp_out.0" in (collected / "resolved.json").read_text()


@pytest.mark.parametrize(
    ("change", "values"),
    [
        (("seed = 3", "seed = 4"), {"names": ("seed",), "given": 4, "allowed": 3, "remedy": True}),
        (("names = 3", "names = 4"), {"names": ("task",), "given": 4, "allowed": 3, "remedy": True}),
        (("dtype = \"float32\"", "dtype = \"bfloat16\""),
         {"names": ("subject",), "given": "bfloat16", "allowed": "float32", "remedy": True}),
        (("[sample]", '[neighbourhood]\ndistance = "cosine"\n\n[sample]'),
         {"names": ("neighbourhood",), "given": "cosine", "allowed": "standardized", "remedy": True}),
        (("train = 30", "train = 29"), {"given": "collect.train = 29", "allowed": 30}),
        (("pool = 24", 'pool = "all"'), {"given": "collect.pool = all", "allowed": 24}),
        ((', "z.1.*"]\ntrain', "]\ntrain"), {"given": "z.1.0", "allowed": "resid_post.*"}),
        (('"resid_post.*", "z.1.*"]\ntrain', '"resid_post.*", "z.1.0"]\ntrain'), {"given": ("collect.sites", "z.1.1")}),
        (("train = 30", "trian = 30"), {"given": "collect.trian", "allowed": "train"}),
    ],
)  # fmt: skip
def test_what_is_no_extension_is_refused(collected: Path, config, capsys, change: tuple[str, str], values: dict):
    before = {path: path.read_bytes() for path in collected.rglob("*") if path.is_file()}
    assert call("extend", collected, config(change)) == 2
    check(printed(capsys.readouterr().err), *values.pop("names", ()), **values)
    assert before == {path: path.read_bytes() for path in collected.rglob("*") if path.is_file()}


def test_a_run_with_later_steps_is_not_extended(world: World, config, capsys):
    assert call("extend", world.run, config(*MORE)) == 2
    later = "reference, train, calibrate, sample, verify, score, mine, causal, text, report"
    check(printed(capsys.readouterr().err), given=later, remedy=world.run)
    assert files.finished(world.run / "collect")


def test_what_is_no_run_is_not_extended(config, tmp_path: Path, capsys):
    assert call("extend", tmp_path, config(*MORE)) == 2
    check(printed(capsys.readouterr().err), given=(tmp_path, "config.toml"), remedy=True)
