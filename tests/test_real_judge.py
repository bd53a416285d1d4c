"""A real language model that answers badly, behind an endpoint: its measured error is said, and is never a verdict."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from check_fixture import judged
from fake_endpoint import Body, Model, serving

from inversescope.check.checked import CheckedClaim
from inversescope.propose.judge import KNOWN
from inversescope.subject import Subject
from inversescope.verdicts.checked import CANNOT_TELL

WRITTEN = 64  # tokens of a reply in the model's own words
SECONDS = 300.0  # for a reply: the model runs on this machine


class InForm(Model):
    """The model's choice between yes and no for each text, in the form that was asked for."""

    def __init__(self, subject: Subject):
        super().__init__([])
        self.subject = subject
        self.yes, self.no = (subject.encode(word)[len(subject.prefix)] for word in ("Yes", "No"))

    def answer(self, question: str, text: str) -> str:
        message = f'{question}\nThe text: "{text}"\nAnswer with Yes or No.'
        prompt = self.subject.encode(self.subject.converse([{"role": "user", "content": message}]))
        logits = self.subject.capture([prompt], [], logits=True).logits
        assert logits is not None
        return "yes" if logits[0, self.yes] > logits[0, self.no] else "no"


class Written(InForm):
    """The model's reply to the whole request, in its own words."""

    def __call__(self, body: Body) -> str:
        prompt = self.subject.encode(self.subject.converse(body["messages"]))
        start = torch.tensor([prompt])
        with torch.inference_mode():
            made = self.subject.model.generate(
                start, attention_mask=torch.ones_like(start), max_new_tokens=WRITTEN, do_sample=False
            )
        return self.subject.decode(made[0, len(prompt) :].tolist())


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject.load("smollm2", device="cpu")


def claimed(model: Model, folder: Path) -> tuple[CheckedClaim, int]:
    """The claim, and the number of requests."""
    with serving(model) as server:
        return judged(server, folder, seconds=SECONDS), len(server.asked)


@pytest.mark.slow
def test_a_model_that_answers_badly_is_measured_and_gives_no_verdict(subject: Subject, tmp_path: Path):
    claim, asked = claimed(InForm(subject), tmp_path)
    assert claim.verdict == CANNOT_TELL and claim.measured is None
    assert f"{KNOWN} needed" in claim.reason and asked == 4  # nothing is asked beyond the questions of known answer


@pytest.mark.slow
def test_replies_that_are_no_answers_give_no_verdict(subject: Subject, tmp_path: Path):
    claim, asked = claimed(Written(subject), tmp_path)
    assert claim.verdict == CANNOT_TELL and claim.measured is None and asked == 4
    assert "no question of known answer could be asked or read" in claim.reason
