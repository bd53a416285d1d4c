"""The language of features: what each word means, what is refused, and that nothing written in it can do harm."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linguistics import use_models
from refusals import refuses

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


ALL_FUNCTIONS = ", ".join(FUNCTIONS)
ALL_NAMES = ", ".join(NAMES)


@pytest.mark.parametrize(
    ("expression", "part", "allowed"),
    [
        ("__import__('os').system('true')", "__import__('os').system('true')", ALL_FUNCTIONS),
        ("open('x')", "open('x')", ALL_FUNCTIONS),
        ("1 + len(text)", "len(text)", ALL_FUNCTIONS),
        ("text.upper()", "text.upper()", ALL_FUNCTIONS),
        ("().__class__", "().__class__", ("and", "contains()")),
        ("[w for w in text]", "[w for w in text]", ("and", "contains()")),
        ("(lambda: 1)()", "(lambda: 1)()", ALL_FUNCTIONS),
        ("f'{text}'", "f'{text}'", ("and", "contains()")),
        ("text[0]", "text[0]", ("and", "contains()")),
        ("9 ** 9 ** 9", "9 ** 9 ** 9", "+ - * // %"),
        ("words + 1.5", "1.5", "whole numbers"),
        ("contains(b'x')", "b'x'", "texts"),
        (r"contains('\ud800')", r"'\ud800'", "texts"),
        ("words + 1000001", "1000001", 1000000),
        ("words and True", "words", "yes or no"),
        ("first_word < 'a'", "first_word", "number"),
        ("first_word == 3", "3", "text"),
        ("'x' in text", "text", "contains(..)"),
        ("text in (first_word,)", "(first_word,)", "in (..)"),
        ("text is None", "text is None", "== != < <= > >= in, not in"),
        ("has_word('!')", "'!'", "contains(..)"),
        ("extract('a')", "'a'", "one"),
        ("extract('(a)(b)')", "'(a)(b)'", "one"),
        ("matches(text)", "text", "texts"),
        ("bucket(words, 5, 5)", "bucket(words, 5, 5)", "bucket()"),
        ("bucket(words, words)", "words", "whole numbers"),
        ("bucket(words)", "bucket(words)", "bucket(number, rising numbers, ..)"),
        ("count('a', text, text)", "count('a', text, text)", "count(words[, text])"),
        ("count(*'a')", "count(*'a')", "count(words[, text])"),
        ("count(phrase='a')", "count(phrase='a')", "count(words[, text])"),
        ("word", "word", ALL_NAMES),
        ("1 if True else 'a'", "1 if True else 'a'", "None"),
        ("not " * 30 + "True", "not " * 10 + "True", 20),
    ],
)
def test_a_part_that_is_not_in_the_language_is_refused(expression: str, part: str, allowed: object):
    with refuses(allowed=allowed) as caught:
        parse(expression)
    assert str(caught.value.given).partition("   in   ")[0] == part
    assert part == expression or str(caught.value.given).endswith(expression)


@pytest.mark.parametrize("pattern", ["(", r"\L<names>"])
def test_what_is_no_regular_expression_is_refused(pattern: str):
    with refuses(given=repr(pattern)):
        parse(f"matches({pattern!r})")


@pytest.mark.parametrize("expression", ["words; words", "", "\0", "(" * 400 + ")" * 100])
def test_what_is_no_expression_is_refused(expression: str):
    with refuses(given=repr(expression), allowed=("words", "and", "contains()")):
        parse(expression)


def test_an_expression_without_a_value_or_without_an_end_is_refused():
    with refuses(given="None"):
        parse("None")
    with refuses(given=805, allowed=500):
        parse("words" + " + words" * 100)


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


def _written(form: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(lambda each: form.format(*each))


def _of_one_kind(depth: int) -> dict[str, st.SearchStrategy[str]]:
    """Expressions of each kind, with parts of the kinds that they need, up to a depth."""
    phrases = st.sampled_from(["'a'", "'the cat'", "'1'"])
    found = {
        "number": st.one_of(st.sampled_from(["words", "characters"]), st.integers(0, 30).map(str)),
        "text": st.one_of(st.sampled_from(["text", "first_word", "last_word", "last_character"]), phrases),
        "yes or no": st.sampled_from(["has_digit", "has_upper", "True", "matches(r'\\w+')"]),
    }
    if depth == 0:
        return found
    part = {kind: st.one_of(each, each, st.just("None")) for kind, each in _of_one_kind(depth - 1).items()}
    number, text, decided = part["number"], part["text"], part["yes or no"]
    signs, order = st.sampled_from(["+", "-", "*", "//", "%"]), st.sampled_from(["<", "<=", "==", "!=", ">"])
    logic, sure = st.sampled_from(["and", "or"]), _of_one_kind(0)
    larger = {
        "number": [
            _written("({} {} {})", number, signs, number), _written("(-{})", number), _written("count({})", text),
            _written("position({}, {})", text, text), _written("({} if {} else {})", number, decided, sure["number"]),
        ],
        "text": [
            _written("word({})", number), _written("lower({})", text), _written("bucket({}, 2, 5)", number),
            _written("({} if {} else {})", text, decided, sure["text"]), st.just("extract(r'(\\d)')"),
        ],
        "yes or no": [
            _written("({} {} {})", number, order, number), _written("({} {} {})", decided, logic, decided),
            _written("(not {})", decided), _written("contains({})", text), _written("({} != {})", text, text),
            _written("has_word({}, {})", text, text),
            _written("({} in [{}, 3])", found["number"], st.integers(0, 9).map(str)),
        ],
    }  # fmt: skip
    return {kind: st.one_of(found[kind], *larger[kind]) for kind in found}


KINDS = _of_one_kind(2)


@pytest.mark.parametrize("kind", KINDS)
@given(st.data(), st.text(max_size=60))
def test_an_expression_has_labels_of_its_kind_for_any_text(kind: str, data: st.DataObject, text: str):
    expression = parse(data.draw(KINDS[kind]))
    label = expression.label(text)
    assert expression.kind == kind
    assert label is None or re.fullmatch({"yes or no": "yes|no", "number": r"-?\d+", "text": "(?s:.*)"}[kind], label)
    assert expression.label(text) == label


@given(EXPRESSIONS, st.text(max_size=60))
def test_an_expression_of_any_parts_is_refused_or_has_labels(source: str, text: str):
    try:
        expression = parse(source)
    except UserError as error:
        assert error.given is not None or "pip install" in str(error.remedy) or "spacy download" in str(error.remedy)
    else:
        assert expression.label(text) == expression.label(text)


@given(st.text(max_size=100))
def test_any_text_is_read_or_refused_with_the_text(source: str):
    try:
        assert parse(source).source == source.strip()
    except UserError as error:
        given = str(error.given)
        assert error.problem and (source.strip() in given or repr(source.strip()) in given)


@given(st.text(), st.integers(-5, 5))
def test_words_are_where_they_are_said_to_be(text: str, index: int):
    words = split(text)
    assert parse("words").label(text) == str(len(words))
    assert parse(f"word({index})").label(text) == (words[index] if -len(words) <= index < len(words) else None)
    for word in words:
        assert parse(f"position({word!r})").label(text) == str(words.index(word))
        assert parse(f"count({word!r})").label(text) == str(words.count(word))
        assert word in text
