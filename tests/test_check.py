"""Claims about activations: the rule of the verdict, its numbers, the file of claims, judges and their faults."""

from __future__ import annotations

import json
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from check_fixture import CLAIM, about, inputs, judged, verdicts, world
from fake_endpoint import Fault, Model, serving
from hypothesis import given, settings
from hypothesis import strategies as st
from linguistics import TOPICS, planted_embeddings
from refusals import refuses

from inversescope.check import Claim, read_claims
from inversescope.check.check import conclude, item_of
from inversescope.check.claims import property_of
from inversescope.check.evidence import Inputs
from inversescope.check.measured import measured
from inversescope.check.words import expression_of
from inversescope.features.annotators import topics
from inversescope.propose.prompts import fits
from inversescope.stats.intervals import UNDEFINED, Estimate, difference
from inversescope.stats.misclassified import Accuracy, corrected_share
from inversescope.verdicts.checked import (
    CANNOT_TELL,
    CONTRADICTED,
    OF_ENDING,
    OF_PRIOR,
    SUPPORTED,
    VERDICTS,
    Shares,
    checked,
)

RED, LINE = "Is it red?", '{"text": "a red cat", "site": "resid_post.1", "claim": "has_word(\\"red\\")"}'


def around(value: float, reach: float = 0.05) -> Estimate:
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach))


HELD = Shares(
    around(0.95), around(0.9), Estimate(0.7, 0.6, 0.8), Estimate(0.5, 0.4, 0.6), Estimate(0.6, 0.4, 0.8), 0.0,
    around(0.3), True,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "q", "verdict"),
    [
        ({}, 0.001, SUPPORTED),
        ({}, 0.2, CANNOT_TELL),
        ({"draws": around(0.1), "beyond_prior": Estimate(0.0, -0.1, 0.1)}, 0.9, CONTRADICTED),
        ({"draws": around(0.3)}, 0.001, CANNOT_TELL),  # more than in the prior, and not in most
        ({"draws": around(0.3)}, 0.2, CANNOT_TELL),  # the same beside many other claims
        ({"draws": around(0.5)}, 0.001, CANNOT_TELL),
        ({"beyond_prior": Estimate(0.0, -0.1, 0.04)}, 0.9, OF_PRIOR),
        ({"beyond_prior": Estimate(0.03, 0.02, 0.04)}, 0.001, OF_PRIOR),  # surely more, and hardly
        ({"beyond_prior": Estimate(0.1, -0.1, 0.3)}, 0.9, CANNOT_TELL),
        ({"beyond_ending": Estimate(0.0, -0.1, 0.0)}, 0.001, OF_ENDING),
        ({"beyond_ending": Estimate(0.03, 0.02, 0.04)}, 0.001, OF_ENDING),
        ({"beyond_ending": Estimate(0.1, -0.1, 0.3)}, 0.001, CANNOT_TELL),
        ({"beyond_ending": UNDEFINED}, 0.001, CANNOT_TELL),
        ({"beyond_ending": UNDEFINED, "has_source": False}, 0.001, SUPPORTED),
        ({"beyond_targets": Estimate(0.0, -0.1, 0.02)}, 0.001, OF_PRIOR),
        ({"beyond_targets": Estimate(0.03, 0.02, 0.04)}, 0.001, OF_PRIOR),
        ({"beyond_targets": UNDEFINED}, 0.001, SUPPORTED),
        ({"others": UNDEFINED}, 0.001, CANNOT_TELL),
        ({"others": around(0.4)}, 0.001, CANNOT_TELL),
        ({"null": around(0.8)}, 0.001, CANNOT_TELL),
        ({"undecided": 0.6}, 0.001, CANNOT_TELL),
        ({"draws": UNDEFINED}, 0.001, CANNOT_TELL),
        ({"draws": UNDEFINED}, nan, CANNOT_TELL),
    ],
)
def test_the_verdict_follows_from_the_shares(changed: dict[str, Any], q: float, verdict: str):
    assert checked(HELD._replace(**changed), q)[0] == verdict


UNIT = st.floats(0, 1)


@given(st.lists(UNIT, min_size=3, max_size=3), UNIT, st.booleans())
@settings(max_examples=60)
def test_without_a_number_nothing_is_decided(ends: list[float], q: float, source: bool):
    low, value, high = sorted(ends)
    share = Estimate(value, low, high)
    verdict, _ = checked(Shares(share, UNDEFINED, UNDEFINED, UNDEFINED, UNDEFINED, 0.0, UNDEFINED, source), q)
    assert verdict in VERDICTS and verdict not in (SUPPORTED, OF_PRIOR, OF_ENDING)


@pytest.mark.parametrize(("se", "sp"), [(0.95, 0.9), (0.8, 0.8)])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_corrected_for_a_judge_covers_the_truth(share: float, se: float, sp: float):
    rng, n, hits = np.random.default_rng(0), 30, 0
    for _ in range(400):
        accuracy = Accuracy(rng.binomial(32, se) / 32, rng.binomial(32, sp) / 32, 32, 32)
        found = corrected_share(rng.binomial(n, share * se + (1 - share) * (1 - sp)) / n, n, accuracy)
        hits += found.low <= share <= found.high
    assert hits / 400 >= 0.92


def test_a_coin_corrects_nothing():
    coin = Accuracy(0.75, 0.25, 32, 32)
    assert not coin.above_chance and np.isnan(corrected_share(0.9, 30, coin).value)
    assert Accuracy(0.9, 0.9, 32, 32).above_chance and not Accuracy(1.0, 1.0, 1, 1).above_chance


def test_a_difference_has_the_error_of_both_shares():
    found = difference(Estimate(0.9, 0.8, 0.95), Estimate(0.4, 0.3, 0.5))
    assert found == pytest.approx((0.5, 0.5 - np.hypot(0.1, 0.1), 0.5 + np.hypot(0.05, 0.1)))
    assert difference(Estimate(1.0, 0.9, 1.0), Estimate(1.0, 1.0, 1.0)).high == 0


def test_each_kind_of_claim_gets_its_verdict():
    claims = ['has_word("red")', 'has_word("blue")', 'has_word("a")', 'has_word("sat")', "words < 0", "a friendly text"]
    claims += ['has_word("cat")', 'It mentions the word "red".']
    expected = [SUPPORTED, CONTRADICTED, OF_PRIOR, OF_ENDING, CONTRADICTED, CANNOT_TELL, CANNOT_TELL, SUPPORTED]
    assert verdicts([about(claim) for claim in claims], world()) == expected


def test_a_source_that_stands_alone_supports_nothing():
    alone = world()
    weights = np.array([0.97, *np.full(len(alone.draws) - 1, 0.03 / (len(alone.draws) - 1))])
    assert verdicts([about('has_word("red")')], replace(alone, draws=replace(alone.draws, weights=weights))) == [
        CANNOT_TELL
    ]


def test_what_is_left_out_or_outside_says_nothing():
    assert verdicts([about('has_word("red")')], replace(world(), left_out="outside", outside=True)) == [CANNOT_TELL]


def test_undecided_labels_are_never_counted_as_no():
    numbers = measured(world(), lambda tokens, text: None, "yes")
    assert np.isnan(numbers.shares.draws.value) and np.isnan(numbers.p_value) and numbers.shares.undecided == 1


def test_controls_are_measured_on_their_own_inputs():
    numbers = measured(world(), lambda tokens, text: "yes" if "red" in text else "no", "yes")
    assert numbers.shares.draws.value == 1 and 0.2 < numbers.prior.value < 0.45 and 0.2 < numbers.ending.value < 0.45
    assert numbers.targets.value == pytest.approx(1 / 3) and numbers.p_value < 1e-6


def write(folder: Path, *lines: str) -> Path:
    (folder / "claims.jsonl").write_text("\n".join(lines))
    return folder / "claims.jsonl"


def test_claims_are_read_once_each(tmp_path: Path):
    read = read_claims(write(tmp_path, LINE, "", LINE))
    assert [(claim.line, claim.position) for claim in read] == [(1, "last")]
    learned = [json.dumps(json.loads(LINE) | {"examples": {"yes": [yes], "no": ["b"]}}) for yes in "aca"]
    assert [claim.line for claim in read_claims(write(tmp_path, *learned))] == [1, 2]


@pytest.mark.parametrize(
    "bad",
    [
        "no json",
        "[1]",
        '{"text": "a", "site": "resid_post.1"}',
        '{"site": "resid_post.1", "claim": "x"}',
        '{"text": "a", "vector": [1.0], "site": "resid_post.1", "claim": "x"}',
        '{"vector": [1.0], "position": 2, "site": "resid_post.1", "claim": "x"}',
        '{"vector": [1.0], "site": "resid_post.1", "claim": "x", "feature": "first_word"}',
        '{"text": "a", "site": "resid_post.1", "claim": "x", "feature": "nothing("}',
        '{"text": "a", "site": "resid_post.1", "claim": "x", "other": 1}',
        '{"text": "a", "site": "resid_post.1", "claim": "' + "x" * 1001 + '"}',
        "[" * 100_000,
    ],
)
def test_bad_lines_are_refused_with_their_number(bad: str, tmp_path: Path):
    with refuses("line 2", given=True, allowed=True):
        read_claims(write(tmp_path, LINE, bad))


@pytest.mark.parametrize("bad", ["[1]", "5", '"a"', "null"])
def test_a_line_of_another_kind_is_refused_in_the_users_words(bad: str, tmp_path: Path):
    with refuses("line 1", given="JSON object") as caught:
        read_claims(write(tmp_path, bad))
    assert "_Line" not in str(caught.value)


def test_no_claims_at_all_are_refused(tmp_path: Path):
    with refuses(given=True):
        read_claims(write(tmp_path, "", ""))


@pytest.mark.parametrize(
    ("words", "expression"),
    [
        ('The text mentions the name "Mary".', "has_word('Mary')"),
        ("It starts with “Then”", "starts_with('Then')"),
        ('the last word is "to"', "last_word == 'to'"),
        ("The text is written in French", "language == 'French'"),
        ("The sentiment is negative", "sentiment == 'negative'"),
        ("The text is in love", None),
        ('The text does not mention "Mary"', None),
        ('it mentions "Mary" and "John"', None),
        ("it is about cooking", None),
    ],
)
def test_plain_words_become_an_expression_only_where_they_are_one(words: str, expression: str | None):
    assert expression_of(words) == expression


def test_a_pattern_between_slashes_is_a_regular_expression():
    found = property_of(about("a year", feature=r"/\d{4}/"))
    assert found is not None and found.expression is not None and found.expression.label("in 1984") == "yes"


def model(truth: Any = None) -> Model:
    return Model([], {fits(CLAIM): truth or (lambda text: "yes" if "red" in text else "no")})


def test_a_judge_that_is_right_gives_the_verdict_and_its_error(tmp_path: Path):
    with serving(model()) as server:
        found = judged(server, tmp_path)
        asked = len(server.asked)
        again = judged(server, tmp_path)
    assert (found.verdict, found.kind) == (SUPPORTED, "judge") and found.accuracy.sensitivity == 1
    assert len(server.asked) == asked and again.record() == found.record()


@pytest.mark.parametrize(
    "truth",
    [
        lambda text: "cannot tell",
        lambda text: ["refused"],
        lambda text: "maybe",
    ],
)
def test_answers_that_decide_nothing_are_no_verdict(truth: Any, tmp_path: Path):
    with serving(model(truth)) as server:
        found = judged(server, tmp_path)
    assert found.verdict == CANNOT_TELL and found.measured is None


@pytest.mark.parametrize("content", [b"{", b"{}", b'{"choices": [{"message": {"content": "I cannot help"}}]}'])
def test_half_an_answer_is_no_verdict(content: bytes, tmp_path: Path):
    with serving(model()) as server:
        server.faults = [Fault(content=content)] * 200
        found = judged(server, tmp_path)
    assert found.verdict == CANNOT_TELL and found.measured is None


def test_a_judge_that_says_yes_to_everything_is_not_used(tmp_path: Path):
    class Yes(Model):
        def answer(self, question: str, text: str) -> str:
            return "yes"

    with serving(Yes([])) as server:
        found = judged(server, tmp_path)
    assert found.verdict == CANNOT_TELL and found.measured is None


@pytest.mark.parametrize(("answered", "verdict"), [(3, SUPPORTED), (1, CANNOT_TELL)])
def test_a_judge_that_cannot_tell_is_not_wrong(answered: int, verdict: str, tmp_path: Path):
    """What it leaves open is in no share of its answers, so it may not be in the error that corrects them either."""

    class Hesitant(Model):
        def answer(self, question: str, text: str) -> str:
            return super().answer(question, text) if crc32(text.encode()) % 4 < answered else "cannot tell"

    with serving(Hesitant([], model().truths)) as server:
        found = judged(server, tmp_path)
    assert found.verdict == verdict
    if verdict == SUPPORTED:
        assert found.accuracy is not None and found.accuracy[:2] == (1, 1)
    else:
        assert "fewer than half of the texts where the answer is known" in found.reason


def test_a_limit_is_no_verdict_and_the_next_call_goes_on(tmp_path: Path):
    with serving(model()) as server:
        stopped = judged(server, tmp_path, calls=6)
        assert stopped.verdict == CANNOT_TELL and len(server.asked) == 6
        assert judged(server, tmp_path).verdict == SUPPORTED


def test_a_refusal_of_the_server_ends_the_command(tmp_path: Path):
    with serving(model()) as server:
        server.faults = [Fault(status=401, content=b"no key")] * 10
        with refuses(given=("status 401",)):
            judged(server, tmp_path)


def test_a_claim_in_words_without_a_judge_is_undecided():
    assert verdicts([about(CLAIM)], world()) == [CANNOT_TELL]


def examples(right: bool = True) -> dict[str, list[str]]:
    words = {
        name: [f"the old {one} and the {other}" for one in own for other in own[:2]] for name, own in TOPICS.items()
    }
    yes, no = words["medicine"], words["software"]
    return {"yes": yes, "no": no} if right else {"yes": yes[::2] + no[::2], "no": yes[1::2] + no[1::2]}


def topical(words: tuple[str, ...], start: int, n: int = 40) -> Inputs:
    rng = np.random.default_rng(start)
    return inputs([f"a {rng.choice(words)} near the {rng.choice(words)}" for _ in range(n)], start)


def test_a_classifier_learns_from_examples_and_knows_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for module in ("model2vec", "sklearn"):
        pytest.importorskip(module)
    monkeypatch.setenv(topics.VARIABLE, str(planted_embeddings(tmp_path)))
    both = TOPICS["medicine"] + TOPICS["software"] * 2
    evidence = replace(
        world(), draws=topical(TOPICS["medicine"], 1), prior=topical(both, 2, 200), ending=topical(both, 3), targets=()
    )
    right, wrong, few = (
        about("it is about medicine", examples=given)
        for given in (examples(), examples(False), {"yes": ["doctor"], "no": ["code"]})
    )
    assert verdicts([right, wrong, few], evidence) == [SUPPORTED, CANNOT_TELL, CANNOT_TELL]


def test_claims_about_long_vectors_are_told_apart():
    one, other = np.zeros(5000), np.zeros(5000)
    other[2500] = 1
    assert Claim("x", "resid_post.1", vector=one).about != Claim("x", "resid_post.1", vector=other).about


def test_a_record_is_json_with_null_for_undefined():
    evidence = replace(world(), left_out="no draw has weight")
    item = item_of(about('has_word("red")'), evidence, (), lambda name, tokens: None, lambda tokens: "")
    record = conclude([item], None, 0).record()
    assert json.loads(json.dumps(record, allow_nan=False))["claims"][0]["share"] is None
