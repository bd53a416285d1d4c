"""Features of running text: clause, quotation, bracket, repetition, language, on texts made for them."""

from __future__ import annotations

import pytest

from inversescope.features.candidates import candidates
from inversescope.features.function_words import language
from inversescope.features.punctuation import clause_words, open_bracket, open_quote, repeats


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("The old man", 3),
        ("He left. She", 1),
        ("He left.", 0),
        ("off, about 3.5 miles", 4),
        ("The 1,000 men", 4),
        ("He said: “Go on", 2),
        ("“Go.” Then he", 2),
        ("the man (of the", 2),
        ("the man (of the year) was", 1),
        ("the man – so they say – was", 1),
        ("well-known men", 2),
        ("one line\ntwo words", 2),
    ],
)
def test_words_of_the_clause(text: str, words: int):
    assert clause_words(text) == words


@pytest.mark.parametrize(
    ("text", "is_open"),
    [
        ("He said “go", True),
        ("He said “go”", False),
        ('He said "go', True),
        ('He said "go" and "stay', True),
        ('He said "go" and "stay"', False),
        ("Er sagte „geh“ und", False),
        ("Er sagte „geh", True),
        ("Il dit « va » et", False),
        ("Il dit « va", True),
        ("“He said “go” to", True),
        ("it isn't John's", False),
        ("closed” without", False),
    ],
)
def test_an_open_quotation(text: str, is_open: bool):
    assert open_quote(text) is is_open


@pytest.mark.parametrize(
    ("text", "bracket"),
    [("f(x[i", "["), ("f(x[i]", "("), ("f(x[i])", "none"), ("a) b", "none"), ("{(a", "("), ("(a]", "(")],
)
def test_the_innermost_open_bracket(text: str, bracket: str):
    assert open_bracket(text) == bracket


def test_words_that_stand_together_before():
    assert repeats(1, "a b a") and repeats(2, "a b c a b") and not repeats(2, "a b b a")
    assert repeats(2, "a a a")  # they overlap, as in repeated words
    assert [repeats(n, "a b") for n in (0, -1, 2, 3)] == [None] * 4 and repeats(1, "a b") is False


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("My sister moved to Berlin because she wanted to study", "English"),
        ("Ma sœur est partie à Berlin pour y étudier avec les autres", "French"),
        ("Meine Schwester ist nach Berlin gezogen und will dort studieren", "German"),
        ("Mi hermana se fue a Berlín porque quería estudiar con los demás", "Spanish"),
        ("Mia sorella è andata a Berlino per studiare con gli altri della classe", "Italian"),
        ("A minha irmã foi para Berlim porque não queria ficar em casa", "Portuguese"),
        ("Mijn zus is naar Berlijn verhuisd om daar te studeren met het geld van haar oma", "Dutch"),
        ("Моя сестра уехала в Берлин", "Cyrillic script"),
        ("妹はベルリンに行った", "Japanese"),
        ("我妹妹去了柏林", "Chinese"),
        ("내 여동생은 베를린에 갔다", "Korean"),
        ("Photosynthesis", None),
        ("1984", None),
        ("", None),
        ("de la", None),  # French and Spanish alike
    ],
)
def test_the_language(text: str, name: str | None):
    assert language(text) == name


def test_they_are_candidates_of_the_miner():
    texts = ["He said “go (now", "Elle est partie avec les enfants", "on and on and on"]
    found = {candidate.source: [candidate.label(text) for text in texts] for candidate in candidates(texts)}
    assert found["open_quote"] == ["yes", "no", "no"]
    assert found["open_bracket"] == ["(", "none", "none"]
    assert found["repeats(2)"] == ["no", "no", "yes"]
    assert found["language"][1] == "French"
    assert found["bucket(clause_words, 1, 2, 4, 8)"] == ["1", "4 to 7", "4 to 7"]
