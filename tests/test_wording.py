"""Numbers, intervals and differing words as people read them."""

from __future__ import annotations

from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inversescope.verdicts.wording import (
    equals,
    interval,
    marked,
    number,
    pieces,
    short,
    shortened,
    signed,
    small,
    visible,
)


def test_numbers_have_a_true_minus_and_a_dash_where_undefined():
    assert [number(value) for value in (0.866, -0.5, None, nan)] == ["0.87", "\N{MINUS SIGN}0.50", "–", "–"]
    assert [number(value) for value in (-0.001, 0.001, -0.0)] == ["0.00"] * 3
    assert [signed(value) for value in (-0.001, 0.001, 0.05, -0.21)] == ["0.00", "0.00", "+0.05", "\N{MINUS SIGN}0.21"]
    assert [short(value) for value in (0.866, 1.0, -0.5, None)] == [".87", "1.0", "\N{MINUS SIGN}.50", "–"]
    assert [small(value) for value in (0.0001, 0.03, None)] == ["<.01", ".03", "–"]
    assert [equals(value) for value in (0.0002, 0.0314)] == ["<\xa00.001", "=\xa00.031"]


def test_intervals():
    assert interval(0.86, 0.78, 0.93) == "0.86 [0.78, 0.93]"
    assert interval(0.86, None, None) == interval(0.86, nan, nan) == "0.86 (no interval)"
    assert interval(None, None, None) == "–"


def test_marked_words_leave_out_the_space_before_them():
    found = marked("Mary and John went", "Mary and Anna went", lambda words: f"<{words}>", lambda words: words)
    assert found == "Mary and <Anna> went"


@given(st.text(), st.text())
def test_differences_join_to_the_text(source: str, text: str):
    assert "".join(pieces(source, text)) == visible(text)


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        ("नमस्ते दुनिया", "नमस्कार दुनिया", ["", "नमस्कार", " दुनिया"]),
        ("cafe\u0301, now", "cafe, now", ["", "cafe", ", now"]),
        ("\U0001f469 went", "\U0001f469\u200d\U0001f52c went", ["", "\U0001f469\u200d\U0001f52c", " went"]),
        ("שלום עולם", "שלום לך", ["שלום", " לך"]),
    ],
)
def test_words_are_marked_whole_in_any_script(source: str, text: str, expected: list[str]):
    assert pieces(source, text) == expected


@given(st.text())
def test_equal_texts_do_not_differ(text: str):
    assert pieces(text, text) == [visible(text)]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" ", "‹space›"),
        ("\n\n\t", "‹newline ×2›‹tab›"),
        ("\u3000", "‹ideographic space›"),
        ("\u200b\ufeff", "‹zero width space›‹zero width no-break space›"),
        ("\x0b\u0301\u3164", "‹U+000B›‹combining acute accent›‹hangul filler›"),
        ("", ""),
        (" .", " ."),
        ("\u3000你", "\u3000你"),
        ("‹0x1B›", "‹0x1B›"),
    ],
)
def test_a_text_in_which_nothing_can_be_seen_is_named(text: str, shown: str):
    assert visible(text) == shortened(text) == "".join(pieces("Mary", text)) == shown


def test_a_long_text_is_cut_between_words():
    assert shortened("Michael and Jessica went to the store", 20) == "…went to the store"
    assert shortened("a" * 50, 20) == "…" + "a" * 20


@given(st.text(alphabet=" \n\t\r\u3000\u200b\u00a0\u2028\x0b\u0301\u115f", min_size=1))
def test_no_text_is_blank(text: str):
    assert any(letter.isalnum() for letter in visible(text))


def test_differences_are_marked_by_turns():
    assert pieces("Mary and John went to", "Mary and Anna went to") == ["Mary and", " Anna", " went to"]
    assert pieces("When Mary left", "Then Mary left") == ["", "Then", " Mary left"]
    assert pieces("one two three", "one three") == ["one", "", " three"]
