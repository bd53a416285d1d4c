"""The last token, and what the subject expects next: as it gives them for one input alone."""

from __future__ import annotations

import math

import pytest
import torch
from small_subject import World

from inversescope.explain import explain
from inversescope.features.of_subject import ENTROPY, LAST, NEXT, SubjectFeatures
from inversescope.inverter import Inverter
from inversescope.subject.capture import Captured

SITE, H = "resid_post.1", 0.5


@pytest.fixture(scope="module")
def inverter(world: World) -> Inverter:
    return Inverter.load(world.run)


def test_labels_are_those_of_each_input_alone(inverter: Inverter):
    subject, inputs = inverter.run.subject, inverter.run.store.inputs("pool").tokens[:6]
    features = SubjectFeatures(subject, expected=True)
    features.learn([*inputs, None])
    for tokens in inputs:
        with torch.no_grad():
            p = subject.model(torch.tensor([tokens])).logits[0, -1].double().softmax(0)
        bits = -float((p * p.log2()).sum())
        assert features.label(LAST, tokens) == subject.decode(tokens[-1:])
        assert features.label(NEXT, tokens) == subject.decode([int(p.argmax())])
        low = [0, 1, 2, 4, 8][sum(bits >= limit for limit in (1, 2, 4, 8))]
        shown = features.label(ENTROPY, tokens)
        assert shown is not None and shown.startswith("below 1" if low == 0 else f"{low}")
    assert features.label(LAST, subject.prefix) is None


def test_a_certain_next_token_has_no_entropy(inverter: Inverter, monkeypatch: pytest.MonkeyPatch):
    subject = inverter.run.subject
    logits = torch.full((1, subject.model.config.vocab_size), -math.inf)
    logits[0, 5] = 0.0
    monkeypatch.setattr(subject, "capture", lambda rows, sites, logits: Captured({}, certain))
    certain, features = logits, SubjectFeatures(subject, expected=True)
    tokens = (*subject.prefix, 7)
    assert features.label(NEXT, tokens) == subject.decode([5]) and features.label(ENTROPY, tokens) == "below 1"
    assert SubjectFeatures(subject, expected=False).names == (LAST,)


def test_they_are_tried_in_an_explanation(inverter: Inverter, monkeypatch: pytest.MonkeyPatch):
    text = inverter.run.store.inputs("target").texts[0]
    tried: set[str] = set()
    label = SubjectFeatures.label
    monkeypatch.setattr(
        SubjectFeatures, "label", lambda self, name, tokens: tried.add(name) or label(self, name, tokens)
    )
    explain(inverter, text, sites=SITE, n=20, bandwidth=H)
    assert tried == {LAST}
    explain(inverter, text, sites=SITE, n=20, bandwidth=H, expected=True)
    assert tried == {LAST, NEXT, ENTROPY}
