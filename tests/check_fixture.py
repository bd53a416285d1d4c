"""Evidence whose truth is known, claims about it, and their verdicts with or without a judge behind an endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from fake_endpoint import Server

from inversescope.check import Claim, LanguageModel
from inversescope.check.check import conclude, item_of
from inversescope.check.checked import CheckedClaim
from inversescope.check.evidence import Evidence, Inputs
from inversescope.propose.endpoint import Address, Budget, Endpoint, Replies

CLAIM = "Something red is in it"


def inputs(texts: list[str], start: int = 0) -> Inputs:
    return Inputs(tuple((start + i,) for i in range(len(texts))), tuple(texts), np.full(len(texts), 1 / len(texts)))


def world(source: str = "a red cat sat", n: int = 40) -> Evidence:
    """The activation holds the colour; the ending says the verb; every text has "a"."""
    rng = np.random.default_rng(0)

    def sentence(colour: str | None = None, verb: str | None = None) -> str:
        words = (colour or rng.choice(["red", "blue", "green"]), rng.choice(["cat", "dog"]))
        return f"a {words[0]} {words[1]} {verb or rng.choice(['sat', 'ran', 'slept'])}"

    return Evidence(
        source,
        (0,),
        "resid_post.1",
        "h = 0.1",
        Inputs.of(
            [(0,), *((i,) for i in range(1, n))], [source, *(sentence("red", "sat") for _ in range(1, n))], np.ones(n)
        ),
        inputs([sentence() for _ in range(300)], 1000),
        False,
        inputs([sentence(verb="sat") for _ in range(100)], 2000),
        1,
        tuple(inputs([sentence(colour) for _ in range(20)], 3000) for colour in ["red", "blue", "green"] * 4),
    )


def verdicts(claims: list[Claim], evidence: Evidence, judge: LanguageModel | None = None) -> list[str]:
    items = [
        item_of(claim, evidence, (), lambda name, tokens: None, lambda tokens: evidence.source) for claim in claims
    ]
    return [each.verdict for each in conclude(items, judge, 0)]


def about(claim: str, **more: Any) -> Claim:
    return Claim(claim, "resid_post.1", "a red cat sat", **more)


def judged(
    server: Server, folder: Path, calls: int = 200, evidence: Evidence | None = None, seconds: float = 2
) -> CheckedClaim:
    """`CLAIM` with its verdict by the judge of a server, which answers within some seconds."""
    address = Address(server.url, "fake")
    with Endpoint(address, Replies(folder), Budget(calls, 10**6), timeout=seconds) as endpoint:
        evidence = evidence or world()
        item = item_of(about(CLAIM), evidence, (), lambda name, tokens: None, lambda tokens: "")
        return conclude([item], LanguageModel(endpoint, 0), 0)[0]
