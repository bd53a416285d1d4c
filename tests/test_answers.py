"""Answers on a screen of any width: no number and no word is cut off."""

from __future__ import annotations

import pytest
from rich.console import Group
from rich.table import Table
from rich.text import Text
from small_subject import call

from inversescope.cli.answers import WIDEST, print_answers

WORDS = ("indirect object", "1/512", ".96 [.92 .98]")


def table(word: str = "consistency") -> Table:
    """A column of words, and two that are not wrapped, as the tables of a run have them."""
    made = Table(box=None, pad_edge=False)
    for name in ("feature", "level", "estimate"):
        made.add_column(name, no_wrap=name != "feature")
    made.add_row(*WORDS)
    made.add_row(word, "1/8", "–")
    return made


@pytest.mark.parametrize("columns", [1, 20, 40, 80, 200])
def test_nothing_of_a_table_is_cut_off(columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.setenv("COLUMNS", str(columns))
    print_answers(Group(Text("a head of several words"), table()))
    shown = capsys.readouterr().out
    assert "…" not in shown
    for word in ("indirect", "object", "consistency", *WORDS[1:]):
        assert word in shown


def test_the_text_beside_a_table_fits_the_screen_and_so_does_a_table_that_can(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setenv("COLUMNS", "36")
    print_answers(Group("word " * 40, table()))
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 36


def test_a_word_without_an_end_is_broken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.setenv("COLUMNS", "80")
    print_answers(table("x" * 2000))
    shown = capsys.readouterr().out
    assert shown.count("x") == 2000 and max(map(len, shown.splitlines())) <= WIDEST


def test_a_plan_has_all_its_numbers_on_a_narrow_screen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    shown = {}
    for columns in ("40", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        assert call("power") == 0
        shown[columns] = {word for word in capsys.readouterr().out.split() if word.startswith("0.")}
    assert shown["40"] == shown["200"] and len(shown["40"]) > 20
