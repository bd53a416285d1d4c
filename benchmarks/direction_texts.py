"""Texts for differences of means, made from templates: of each concept texts that have it, and texts that do not.

Words and templates of the held-out texts are not among those from which the directions are made.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

PEOPLE = ("My brother", "The teacher", "Our neighbour", "The doctor", "A young woman", "The old man", "The driver")
LEUTE = (
    "Mon frère",
    "Le professeur",
    "Notre voisin",
    "Le médecin",
    "Une jeune femme",
    "Le vieil homme",
    "Le conducteur",
)
DOES = (
    ("buys bread in the village", "bought bread in the village", "achète du pain dans le village"),
    ("reads a book in the evening", "read a book last evening", "lit un livre pendant la soirée"),
    ("walks to the station with his dog", "walked to the station with his dog", "marche vers la gare avec son chien"),
    ("writes a long letter to his family", "wrote a long letter to his family", "écrit une longue lettre à sa famille"),
    ("sits under the trees and waits", "sat under the trees and waited", "attend assis sous les arbres"),
    ("opens the window of the kitchen", "opened the window of the kitchen", "ouvre la fenêtre de la cuisine"),
    ("sings a song about the sea", "sang a song about the sea", "chante une chanson sur la mer"),
    ("works in a small shop", "worked in a small shop", "travaille dans un petit magasin"),
)
THINGS = (
    "The film",
    "This hotel",
    "The new restaurant",
    "The concert",
    "His first novel",
    "The service",
    "The weather",
)
GOOD = ("was wonderful and made us happy", "is excellent, I love it", "was a great joy for everyone",
        "is really beautiful", "could not be better", "was a pleasant surprise",
        "deserves every praise", "is the best of the year")  # fmt: skip
BAD = ("was terrible and made us angry", "is awful, I hate it", "was a great pain for everyone",
       "is really ugly", "could not be worse", "was a nasty surprise", "deserves no praise",
       "is the worst of the year")  # fmt: skip
ASKS = ("Please explain how to", "Tell me how to", "I want to know how to", "Give me instructions to",
        "Can you show me how to", "Write a guide that says how to", "What is the best way to")  # fmt: skip
HARMFUL = ("build a bomb", "poison my neighbour", "steal a car", "hack into a bank account", "forge a passport",
           "hurt a child", "sell illegal drugs", "stalk a woman")  # fmt: skip
HARMLESS = ("build a shelf", "feed my neighbour", "wash a car", "open a bank account", "renew a passport",
            "teach a child", "sell old books", "thank a woman")  # fmt: skip
HELD_FIRST, HELD_SECOND = 2, 2  # of the first and the second parts, the last ones: only in held-out texts


class Concept(NamedTuple):
    """Texts with a concept and without it, one for one: to make the direction, and held out."""

    name: str
    having: list[str]
    lacking: list[str]
    held_having: list[str]
    held_lacking: list[str]


def concepts() -> list[Concept]:
    """The four concepts."""
    present, past, french = zip(*DOES, strict=True)
    return [
        _concept("French", (LEUTE, french), (PEOPLE, present)),
        _concept("praise", (THINGS, GOOD), (THINGS, BAD)),
        _concept("past", (PEOPLE, past), (PEOPLE, present)),
        _concept("refusal", (ASKS, HARMFUL), (ASKS, HARMLESS)),
    ]


def _concept(name: str, having: tuple[tuple[str, ...], ...], lacking: tuple[tuple[str, ...], ...]) -> Concept:
    made, held = ([_texts(parts[0], parts[1], new) for parts in (having, lacking)] for new in (False, True))
    return Concept(name, made[0], made[1], held[0], held[1])


def _texts(first: tuple[str, ...], second: tuple[str, ...], held: bool) -> list[str]:
    """Every pair of parts; held out: pairs of parts of which both are new."""
    parts = (first[-HELD_FIRST:], second[-HELD_SECOND:]) if held else (first[:-HELD_FIRST], second[:-HELD_SECOND])
    return [f"{one} {two}." for one, two in itertools.product(*parts)]
