"""The pool as moves and searches see it: its draws at one length, and how well each leads to a token.

Dimensions: `n` inputs, `t` tokens, `r` draws of the pool, `k` draws for each input.
"""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from inversescope.natural_text.question import Question


class PoolBeginnings:
    """`proposals.Beginnings` of a question.

    Attributes:
        tokens: of each draw, at the length of the question.
        token_log_p: ln P of each of its tokens after those before it.
        distance: δ of the whole draw from the target.
    """

    def __init__(self, question: Question):
        self.tokens: Int[Tensor, "r t"] = question.pool.tokens[:, : question.length]
        self.token_log_p: Float[Tensor, "r t"] = question.pool.log_p[:, : question.length]
        self.distance: Float[Tensor, " r"] = question.of_standardized(question.data.pool)
        self._question = question

    def log_next(
        self, kept: int, token: Int[Tensor, " n"], rows: Int[Tensor, "n k"] | None = None
    ) -> Float[Tensor, "n k"]:
        """ln P of one token for each input after the first `kept` tokens of its draws, or of every draw."""
        distinct, which = token.unique(return_inverse=True)
        every = self._question.pool.next_of(self._question.words, kept, distinct).T[which]
        return every if rows is None else every.gather(1, rows)
