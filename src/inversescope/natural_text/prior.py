"""The prior on natural text: the subject's own text, with the probability of what is drawn known exactly.

The first token is drawn as behind an opening, a text that ends where a sentence begins; from the second on the subject
continues its own prefix, at a temperature. An opening is not part of the input: it only decides how inputs begin.

Dimensions: `n` rows, `v` the vocabulary, `w` the width of the model.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope.errors import UserError
from inversescope.subject.continuing import Continuing
from inversescope.subject.head import Head
from inversescope.subject.subject import Subject

# Each ends with an open quotation, behind which a sentence begins. Behind its bare prefix, half of what SmolLM2 writes
# begins with "-"; docs/lab/natural.md compares.
OPENINGS = (
    'Here is the first sentence of an article: "',
    'The newspaper wrote: "',
    'She looked up and said: "',
    'The first line of the story is: "',
    'He remembered one sentence from the book: "',
    'The encyclopedia says: "',
)


@dataclass(frozen=True)
class Prior:
    """Settings of the prior.

    Attributes:
        openings: texts behind which the first token is drawn, each as often; none: behind the subject's prefix.
        temperature: of every later token; 1 is the subject as it is.
        top: number of likeliest tokens at each place that can be drawn at all; None: every token. A text of the user
            that holds another token then is no input, so this is for small priors whose inputs can all be listed.
    """

    openings: tuple[str, ...] = OPENINGS
    temperature: float = 0.9
    top: int | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise UserError("the temperature of the prior is no positive number", given=self.temperature)

    def __str__(self) -> str:
        begins = f"the first token as behind {len(self.openings)} openings" if self.openings else "behind its prefix"
        cut = "" if self.top is None else f", the {self.top} likeliest tokens at each place"
        return f"the subject's own text at temperature {self.temperature:g}, {begins}{cut}"

    def record(self) -> dict[str, Any]:
        """Settings as JSON."""
        return asdict(self)


class PriorTokens:
    """Next-token probabilities of the prior, of one subject.

    Attributes:
        first: ln P of every first token.
        temperature: of every later token.

    Raises:
        UserError: nothing stands before the first token: neither a prefix nor an opening.
    """

    def __init__(self, subject: Subject, prior: Prior):
        self.prior = prior
        self.temperature = prior.temperature
        self._head, self._device = Head(subject.model), subject.device
        beginnings = [subject.encode(opening) for opening in prior.openings] or [list(subject.prefix)]
        if not all(beginnings):
            raise UserError(
                "the prior has nothing to begin with: the subject has no first token, and there is no opening",
                given=subject.name,
                remedy="an opening, or Subject.load(..., prefix=[...])",
            )
        reader = Continuing(subject, ())
        hidden = [reader.read(torch.tensor([tokens]), whole=True).hidden for tokens in beginnings]
        logs = torch.cat([self._head.logits(read[0, -1:]).log_softmax(-1) for read in hidden if read is not None])
        if not prior.openings:
            logs = (logs / self.temperature).log_softmax(-1)
        mean = logs.logsumexp(0, keepdim=True) - math.log(len(logs))
        self.first: Float[Tensor, " v"] = self._cut(mean).log_softmax(-1)[0].cpu()

    def next(self, hidden: Float[Tensor, "n w"]) -> Float[Tensor, "n v"]:
        """ln P of every next token, from what the head reads; on the subject's device."""
        return self.next_and_normaliser(hidden)[0]

    def next_and_normaliser(self, hidden: Float[Tensor, "n w"]) -> tuple[Float[Tensor, "n v"], Float[Tensor, " n"]]:
        """ln P of every next token, and the normaliser of `scores_of`; on the subject's device."""
        scores, normaliser = self._scores(hidden)
        return scores - normaliser[:, None], normaliser

    def next_of(self, hidden: Float[Tensor, "n w"], tokens: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """ln P of one next token behind each row, on the CPU."""
        scores, normaliser = self._scores(hidden)
        return (scores.gather(1, tokens.to(scores.device)[:, None])[:, 0] - normaliser).cpu()

    def scores_of(self, hidden: Float[Tensor, "n w"], tokens: Int[Tensor, " k"]) -> Float[Tensor, "n k"]:
        """Scores of some next tokens, on the CPU; minus the normaliser they are ln P, unless the prior is cut."""
        return (self._head.logits_of(hidden.to(self._device), tokens.to(self._device)) / self.temperature).cpu()

    def _scores(self, hidden: Float[Tensor, "n w"]) -> tuple[Float[Tensor, "n v"], Float[Tensor, " n"]]:
        scores = self._cut(self._head.logits(hidden.to(self._device)) / self.temperature)
        return scores, scores.logsumexp(-1)

    def _cut(self, scores: Float[Tensor, "n v"]) -> Float[Tensor, "n v"]:
        """Only the likeliest tokens, where the prior is cut to them."""
        if self.prior.top is None:
            return scores
        best = scores.topk(min(self.prior.top, scores.shape[-1]), dim=-1)
        return torch.full_like(scores, -math.inf).scatter(-1, best.indices, best.values)
