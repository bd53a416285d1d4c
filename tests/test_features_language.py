"""The language of features: what each word means, what is refused, and that nothing written in it can do harm."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linguistics import use_models

from inversescope.errors import UserError
from inversescope.features import functions, parse
from inversescope.features.functions import FUNCTIONS, NAMES, NEEDED, PATIENCE
from inversescope.features.word_splitting import split

DOCS = (Path(__file__).parents[1] / "docs" / "features.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^\| `(.+?)` \| `(.*?)` \| (?:`(.*?)`|undecided) \|$", DOCS, re.M)


@pytest.mark.parametrize(("expression", "text", "label"), EXAMPLES)
def test_the_documented_examples(
    expression: str, text: str, label: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if any(word in expression for word in NEEDED):
        use_models(tmp_path, monkeypatch)
    assert parse(expression).label(text) == (label or None)


def test_every_word_of_the_language_is_documented_and_shown():
    shown = " ".join(expression for expression, _, _ in EXAMPLES)
    for name in (*NAMES, *FUNCTIONS):
        assert re.search(rf"`{name}[`(]", DOCS), name
    assert {name for name in FUNCTIONS if f"{name}(" not in shown} <= {"starts_with", "ends_with"}


@pytest.mark.parametrize(
    ("expression", "label"),
    [
        ("False and word(9) == 'x'", "no"),
        ("word(9) == 'x' and False", "no"),
        ("True or word(9) == 'x'", "yes"),
        ("True and word(9) == 'x'", None),
        ("not word(9) == 'x'", None),
        ("word(9) in ('x', 'y')", None),
        ("words // 0", None),
        ("1 if word(9) == 'x' else 2", None),
        ("1 < words < 3", "yes"),
        ("1 < words < 2", "no"),
        ("word(-3)", None),
        ("word(-2)", "one"),
        ("starts_with('One', word(0))", "no"),
        ("ends_with('o')", "yes"),
        ("bucket(words, 1, 2, 3)", "2"),
        ("bucket(words, 2)", "2 or more"),
        ("has_word(word(5))", None),
        ("words not in (2, 3)", "no"),
        ("words == None", None),
    ],
)
def test_what_undecided_makes_of_the_rest(expression: str, label: str | None):
    assert parse(expression).label("one two") == label


@pytest.mark.parametrize(
    ("expression", "parts"),
    [
        ("__import__('os').system('true')", ["no such function", "contains"]),
        ("open('x')", ["no such function"]),
        ("text.upper()", ["no such function"]),
        ("().__class__", ["Attribute is not in the language"]),
        ("[w for w in text]", ["ListComp is not in the language"]),
        ("(lambda: 1)()", ["no such function"]),
        ("f'{text}'", ["JoinedStr is not in the language"]),
        ("text[0]", ["Subscript is not in the language"]),
        ("9 ** 9 ** 9", ["this sign", "+ - * // %"]),
        ("1.5", ["constant"]),
        ("b'x'", ["constant"]),
        (r"'\ud800'", ["constant"]),
        ("1000001", ["too large", "1000000"]),
        ("words and True", ["this is a number, and a yes or no is needed", "words   in   words and True"]),
        ("first_word < 'a'", ["this is a text, and a number is needed"]),
        ("first_word == 3", ["this is a number, and a text is needed"]),
        ("'x' in text", ["takes a list of values", "contains(..)"]),
        ("text in (first_word,)", ["written out"]),
        ("text is None", ["this comparison"]),
        ("has_word('!')", ["no word in this", "contains(..)"]),
        ("extract('a')", ["0 groups", "one"]),
        ("matches('(')", ["not a regular expression"]),
        ("matches(r'\\L<names>')", ["not a regular expression"]),
        ("matches(text)", ["a written regular expression"]),
        ("bucket(words, 5, 5)", ["do not rise"]),
        ("bucket(words, words)", ["written numbers"]),
        ("bucket(words)", ["wrong arguments", "bucket(number, rising numbers, ..)"]),
        ("count('a', text, text)", ["wrong arguments", "count(words[, text])"]),
        ("count(*'a')", ["wrong arguments"]),
        ("count(phrase='a')", ["wrong arguments"]),
        ("word", ["no such name; word(..) is a function"]),
        ("1 if True else 'a'", ["one side is a number and the other a text"]),
        ("None", ["always undecided"]),
        ("words; words", ["cannot be read"]),
        ("", ["cannot be read"]),
        ("\0", ["cannot be read"]),
        ("not " * 30 + "True", ["too deep", "20"]),
        ("(" * 400 + ")" * 100, ["cannot be read"]),
        ("words" + " + words" * 100, ["too long", "500"]),
    ],
)
def test_what_is_not_in_the_language_is_refused(expression: str, parts: list[str]):
    with pytest.raises(UserError) as caught:
        parse(expression)
    assert [part for part in parts if part not in str(caught.value)] == []


@pytest.mark.machine
@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(?R)", "(?:a{1,1000}){1,1000}b", "(?:aaaaaaaaaaaa){e<=9}c"])
def test_no_regular_expression_hangs(pattern: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(functions, "SECONDS", 0.02)
    expression = parse(f"matches({pattern!r})")
    hard = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!" * 200
    start = time.perf_counter()
    labels = [expression.label(hard + "x" * number) for number in range(100)]
    assert time.perf_counter() - start < 10
    assert labels.count(None) == expression.timeouts
    assert expression.timeouts in (0, 100), f"it is given up for good after {PATIENCE} texts"


_NAMES = st.sampled_from(list(NAMES))
_LITERALS = st.one_of(
    st.text(max_size=8).map(repr), st.integers(-20, 2_000_000).map(str), st.sampled_from(["None", "True", "False"])
)


def _larger(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    signs = st.sampled_from(["and", "or", "==", "!=", "<", ">=", "+", "-", "*", "//", "%", "in", "not in"])
    return st.one_of(
        st.tuples(parts, signs, parts).map(lambda each: f"({' '.join(each)})"),
        st.tuples(st.sampled_from(list(FUNCTIONS)), st.lists(parts, max_size=3)).map(
            lambda each: f"{each[0]}({', '.join(each[1])})"
        ),
        parts.map(lambda part: f"(not {part})"),
        parts.map(lambda part: f"(-{part})"),
        st.lists(parts, max_size=3).map(lambda each: f"[{', '.join(each)}]"),
        st.tuples(parts, parts, parts).map(lambda each: f"({each[0]} if {each[1]} else {each[2]})"),
    )


EXPRESSIONS = st.recursive(st.one_of(_NAMES, _LITERALS), _larger, max_leaves=8)


@given(EXPRESSIONS, st.text(max_size=60))
def test_what_is_read_can_be_asked_of_any_text(source: str, text: str):
    try:
        expression = parse(source)
    except UserError:
        return
    label = expression.label(text)
    assert label is None or isinstance(label, str)
    assert expression.kind != "yes or no" or label in ("yes", "no", None)
    assert expression.label(text) == label


@given(st.text(max_size=100))
def test_any_text_is_read_or_refused_in_words(source: str):
    try:
        assert parse(source).source == source.strip()
    except UserError as error:
        assert "allowed" in str(error) or "given" in str(error)


@given(st.text(), st.integers(-5, 5))
def test_words_are_where_they_are_said_to_be(text: str, index: int):
    words = split(text)
    assert parse("words").label(text) == str(len(words))
    assert parse(f"word({index})").label(text) == (words[index] if -len(words) <= index < len(words) else None)
    for word in words:
        assert parse(f"position({word!r})").label(text) == str(words.index(word))
        assert parse(f"count({word!r})").label(text) == str(words.count(word))
        assert word in text
