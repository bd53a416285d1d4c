"""Features that the subject itself gives an input: its last token, and what the subject expects to follow."""

from __future__ import annotations

import math
from collections.abc import Sequence

from inversescope.features.functions import bucket
from inversescope.subject import Subject
from inversescope.tasks import Tokens

LAST, NEXT, ENTROPY = "last token", "next token", "next-token entropy"
WORDS = {
    LAST: "the last token",
    NEXT: "the token that the model expects next",
    ENTROPY: "bits of entropy of the next token",
}
BITS = (1, 2, 4, 8)  # limits between the labels of the entropy
ROWS = 256  # inputs whose next-token distributions are in memory at a time


class SubjectFeatures:
    """Labels of inputs by the subject, each input read once; `expected`: also by its next-token distribution."""

    def __init__(self, subject: Subject, expected: bool):
        self.names = tuple(WORDS) if expected else (LAST,)
        self._subject = subject
        self._expected: dict[Tokens, tuple[str, str]] = {}

    def learn(self, inputs: Sequence[Tokens | None]) -> None:
        """Read inputs in batches, where their next token is a feature."""
        unknown = [tokens for tokens in dict.fromkeys(inputs) if tokens is not None and tokens not in self._expected]
        for start in range(0, len(unknown), ROWS) if NEXT in self.names else ():
            rows = unknown[start : start + ROWS]
            logits = self._subject.capture(rows, [], logits=True).logits
            assert logits is not None
            log_p = logits.float().log_softmax(1)
            bits = -(log_p.exp() * log_p.nan_to_num(neginf=0.0)).sum(1) / math.log(2)
            likeliest = self._subject.token_strings(log_p.argmax(1).tolist())
            for tokens, token, entropy in zip(rows, likeliest, bits.tolist(), strict=True):
                self._expected[tokens] = token, bucket(int(entropy), *BITS)

    def label(self, name: str, tokens: Tokens) -> str | None:
        """The label of one input; None where it has no token beyond the prefix."""
        if name == LAST:
            body = tokens[len(self._subject.prefix) :]
            return self._subject.token_strings([body[-1]])[0] if body else None
        self.learn([tokens])
        token, entropy = self._expected[tokens]
        return token if name == NEXT else entropy
