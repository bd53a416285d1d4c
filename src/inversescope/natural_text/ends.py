"""Proposal for the last tokens of an input, without training: the prior times what bridges say about the activation.

From right to left: the last token from the table of tokens read alone; each token before it from the subject's own
pairs read backwards, the likeliest of them read again together with what follows them. All bandwidths of a list are
mixed, and a share of the plain prior, so that the density is finite wherever the prior has mass.

Dimensions: `n` ends, `v` the vocabulary, `c` candidates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope import files
from inversescope.natural_text.pool import Pool
from inversescope.natural_text.prior import PriorTokens
from inversescope.natural_text.question import Question
from inversescope.natural_text.readings import load

PLAIN = 0.1  # share of the prior in every proposal
READ_AGAIN = 24  # ends whose continuations to the left are read again
CANDIDATES = 48  # continuations of each
FREQUENT = 4096  # tokens that pairs know
TINY = 1e-30  # smallest mean probability of a token
KEPT = 512  # densities over the vocabulary that are kept

End = tuple[int, ...]


class Backward:
    """Pairs of tokens of the subject read backwards: ln P of the token before a token, in proportion to the mean over
    the pool of the probability of the one times that of the other behind it alone. Only frequent tokens are known.
    """

    def __init__(self, words: PriorTokens, pool: Pool, hidden: Float[Tensor, "v w"]):
        self._words, self._pool = words, pool
        self._tokens = pool.mean_next.mean(0).topk(min(FREQUENT, pool.mean_next.shape[1])).indices.sort().values
        self._behind = hidden[self._tokens].to(pool.hidden.device)
        path = pool.folder / "pairs.safetensors"
        if not path.exists():
            parts = [words.next_and_normaliser(part)[1].cpu() for part in self._behind.split(512)]
            files.write_tensors(path, {"activations": torch.cat(parts)})
        self._normaliser = load(path)
        self._known: dict[tuple[int, int], Float[Tensor, " v"]] = {}

    def before(self, token: int, position: int) -> Float[Tensor, " v"]:
        """ln P of every token at a position, behind which this token stands; −inf where it is not known."""
        if (token, position) not in self._known:
            if len(self._known) >= KEPT:
                self._known.clear()
            score = self._words.scores_of(self._behind, torch.tensor([token]))[:, 0] - self._normaliser
            mean = self._pool.mean_next[position]
            logs = torch.full_like(mean, -math.inf)
            logs[self._tokens] = score + mean[self._tokens].clamp_min(TINY).log()
            self._known[token, position] = logs.log_softmax(0)
        return self._known[token, position]


class Ends:
    """The proposal for one target (`posterior.EndProposal`, `proposals.BackwardProposal`).

    Attributes:
        depth: tokens from the end that it knows something about; those before are the pool's.
        log_unigram: ln of the mean probability of each token, over the draws and positions of the pool.
    """

    def __init__(self, question: Question, backward: Backward):
        data, pool = question.data, question.pool
        self.depth = max(data.bridges)
        self._question, self._data, self._target = question, data, question.target
        self._backward, self._bandwidths = backward, question.bandwidths
        self._plain = [pool.mean_next[data.length - 1 - m].clamp_min(TINY).log() for m in range(self.depth)]
        self.log_unigram = pool.mean_next[: data.length].mean(0).clamp_min(TINY).log()
        self._earlier = pool.mean_next[: data.length].clamp_min(TINY).log().log_softmax(1)
        self._nodes: dict[End, Float[Tensor, " v"]] = {(): self._last()}
        self._others: dict[End, Float[Tensor, " v"]] = {}
        for m in range(1, self.depth):
            self._expand(m)

    def draw(self, n: int, tokens: int, rng: torch.Generator) -> tuple[Int[Tensor, "n tokens"], Float[Tensor, " n"]]:
        """Draws of the last `tokens` tokens, and ln g of each."""
        ends: list[End] = [()] * n
        for _ in range(tokens):
            drawn = [0] * n
            for end in dict.fromkeys(ends):
                rows = [i for i, other in enumerate(ends) if other == end]
                chosen = torch.multinomial(self._before(end).exp(), len(rows), replacement=True, generator=rng)
                for i, token in zip(rows, chosen.tolist(), strict=True):
                    drawn[i] = token
            ends = [(token, *end) for token, end in zip(drawn, ends, strict=True)]
        result = torch.tensor(ends, dtype=torch.long).reshape(n, tokens)
        return result, self.log_prob(result)

    def log_prob(self, ends: Int[Tensor, "n tokens"]) -> Float[Tensor, " n"]:
        """ln g of given ends."""
        rows = [tuple(row) for row in ends.tolist()]
        logs = {
            row: sum(float(self._before(row[i + 1 :])[row[i]]) for i in range(len(row))) for row in dict.fromkeys(rows)
        }
        return torch.tensor([logs[row] for row in rows], dtype=torch.float64)

    def log_probs(self, after: Int[Tensor, "n t"]) -> Float[Tensor, "n v"]:
        """ln g of the token that stands before these last tokens; of the last token where there are none."""
        return torch.stack([self._before(tuple(row)) for row in after.tolist()])

    def _before(self, end: End) -> Float[Tensor, " v"]:
        """ln g of the token before an end; an end that was not read again has pairs alone."""
        if len(end) >= self.depth:
            return self._earlier[len(self._earlier) - 1 - len(end)]
        if end not in self._nodes:
            if end not in self._others:
                if len(self._others) >= KEPT:
                    self._others.clear()
                pair = self._backward.before(end[0], self._data.length - 1 - len(end))
                self._others[end] = _mixed(self._plain[len(end)], [pair])
            return self._others[end]
        return self._nodes[end]

    def _last(self) -> Float[Tensor, " v"]:
        fits = self._data.last.log_kernels(self._target, self._data.vocabulary, self._bandwidths).cpu()
        return _mixed(self._plain[0], [(self._plain[0] + fit).log_softmax(0) for fit in fits.T])

    def _expand(self, m: int) -> None:
        """Read the candidates before the likeliest ends of m tokens."""
        found: list[tuple[float, End]] = []
        for end in [end for end in self._nodes if len(end) == m - 1]:
            best = self._nodes[end].topk(READ_AGAIN)
            start = float(self.log_prob(torch.tensor([end], dtype=torch.long).reshape(1, -1))[0])
            pairs = zip(best.values.tolist(), best.indices.tolist(), strict=True)
            found += [(start + log_g, (token, *end)) for log_g, token in pairs]
        ends = [end for _, end in sorted(found, reverse=True)[:READ_AGAIN]]
        priors = [self._backward.before(end[0], self._data.length - 1 - m) for end in ends]
        candidates = [prior.topk(CANDIDATES).indices for prior in priors]
        rows = torch.cat(
            [
                torch.cat([c[:, None], torch.tensor(end).expand(len(c), -1)], 1)
                for c, end in zip(candidates, ends, strict=True)
            ]
        )
        read = self._question.alone(rows)
        bridge = self._data.bridges[m + 1]
        mean = self._data.beginnings[m + 1].mean(0, keepdim=True)
        for end, prior, chosen, part in zip(ends, priors, candidates, bridge.ends(read).split(CANDIDATES), strict=True):
            parts = []
            for h in self._bandwidths:
                fit = prior[chosen] + bridge.log_kernel(self._target, part, h, mean)[:, 0].cpu()
                parts.append(torch.full_like(prior, -math.inf).scatter(0, chosen, fit.log_softmax(0)))
            self._nodes[end] = _mixed(self._plain[m], [*parts, prior])


def _mixed(plain: Float[Tensor, " v"], parts: Sequence[Float[Tensor, " v"]]) -> Float[Tensor, " v"]:
    """ln of the mixture of proposals, each as often, and of the plain prior."""
    share = math.log((1 - PLAIN) / len(parts))
    logs = [plain.log_softmax(0) + math.log(PLAIN), *(part + share for part in parts)]
    return torch.stack(logs).logsumexp(0)
