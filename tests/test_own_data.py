"""Own data from the command line to the report: cut texts are counted and named wherever a user looks."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pytest
from refusals import printed
from small_subject import World, call, config_text

from inversescope import files

TEXTS = [f"{a} gave {b} a ring" for a, b in product("abcdefgh", "ijklmnop")]
LONG = " and then went home to the store" * 3
CONFIG = '[task]\nname = "texts"\npath = "{path}"\n{more}\n'


def save(path: Path, texts: list[str]) -> Path:
    rows = [{"text": text, "who": text[0], "id": number} for number, text in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def config(path: Path, world: World, data: Path | str, more: str = "", sizes: str | None = None) -> Path:
    """A config for these texts; `sizes` in place of those of the section `collect`."""
    text = config_text(world.model, steps=6)
    start, collect, end = (text.index(f"[{section}]") for section in ("task", "collect", "generator"))
    own = text[collect:end] if sizes is None else f'[collect]\nsites = ["resid_post.*", "z.1.*"]\n{sizes}'
    path.write_text(text[:start] + CONFIG.format(path=data, more=more) + own + text[end:])
    return path


def test_texts_that_were_cut_are_counted_and_shown(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = save(tmp_path / "texts.jsonl", [text + LONG * (number < 3) for number, text in enumerate(TEXTS)])
    made = config(tmp_path / "cut.toml", world, data, "max_tokens = 9")
    cut = "3 of 64 texts are longer than task.max_tokens = 9"
    assert call("run", made, "--dry-run") == 0
    assert cut in " ".join(capsys.readouterr().out.split())
    assert call("run", made, "--out", tmp_path / "run") == 0
    shown = capsys.readouterr()
    assert cut in shown.err and "id (no value comes twice)" in shown.err and cut in " ".join(shown.out.split())
    recorded = files.read_json(tmp_path / "run" / "task" / "reading.json")
    assert (recorded["rows"], recorded["shortened"], recorded["features"]) == (64, 3, ["who"])
    assert cut in (tmp_path / "run" / "report" / "report.html").read_text()
    whole = config(tmp_path / "whole.toml", world, data)
    assert call("run", whole, "--out", tmp_path / "whole", "--until", "task") == 0
    assert "max_tokens" not in capsys.readouterr().err
    assert files.read_json(tmp_path / "whole" / "task" / "reading.json")["cut"] is None


def test_too_few_inputs_name_the_cut_as_the_cause(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = save(tmp_path / "texts.jsonl", [LONG + text for text in TEXTS])
    assert call("run", config(tmp_path / "cut.toml", world, data, "max_tokens = 4"), "--out", tmp_path / "run") == 2
    error = printed(capsys.readouterr().err)
    assert "64 texts come to 1 different inputs" in str(error.given) and "64 of 64 texts" in str(error.given)
    assert "max_tokens" in str(error.remedy)
    data = save(tmp_path / "texts.jsonl", TEXTS[:20])
    assert call("run", config(tmp_path / "few.toml", world, data), "--out", tmp_path / "few") == 2
    assert "max_tokens" not in str(printed(capsys.readouterr().err))
