"""Inversion of any activation into natural text, without training and without a run directory.

text = NaturalText.open(Subject.load("smollm2"), sites=["resid_post.15"], length=10)
answer = text.invert("My sister moved to Berlin because she wanted to study", site="resid_post.15", bits=6)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor

from inversescope.errors import UserError
from inversescope.natural_text import searching
from inversescope.natural_text.answer import Answer, answer
from inversescope.natural_text.budget import Budget
from inversescope.natural_text.ends import Backward, Ends
from inversescope.natural_text.estimate import Weighted
from inversescope.natural_text.pool import DRAWS, STEP, Pool, Seen, open_pool
from inversescope.natural_text.prior import Prior, PriorTokens
from inversescope.natural_text.question import Question, Source
from inversescope.natural_text.search import Kind
from inversescope.natural_text.searching import SearchAnswer
from inversescope.natural_text.site_data import SiteData, site_data
from inversescope.natural_text.strata import strata
from inversescope.natural_text.target import SubjectPosterior
from inversescope.position import LAST, Messages, Position, cut, keep_last
from inversescope.progress import Progress, silent
from inversescope.sites import Site
from inversescope.subject.continuing import Continuing
from inversescope.subject.subject import Subject
from inversescope.subject.vectors import checked

SHORTEST = 3  # tokens of an input: an end of two, and something before it
LONGEST = STEP  # tokens of an input if nothing is said: what stands before them hardly moves most activations
PROPOSALS = 2000  # ends of one token; of longer ones, which cost more and have heavier weights, a quarter
BITS = 6.0


class NaturalText:
    """A subject with a pool of its own text, ready to invert activations of some sites into inputs of one length.

    Attributes:
        subject: the model.
        prior: settings of the prior.
        length: tokens of every input, the subject's prefix not counted.
        pool: draws from the prior.
        sites: data of each site.
    """

    def __init__(
        self,
        subject: Subject,
        prior: Prior,
        length: int,
        pool: Pool,
        sites: dict[Site, SiteData],
        hidden_alone: Float[Tensor, "v w"],
    ):
        self.subject, self.prior, self.length, self.pool, self.sites = subject, prior, length, pool, sites
        self.words = PriorTokens(subject, prior)
        self._hidden_alone = hidden_alone

    @classmethod
    def open(
        cls,
        subject: Subject,
        *,
        sites: Sequence[str],
        length: int,
        prior: Prior | None = None,
        draws: int = DRAWS,
        seed: int = 0,
        progress: Progress = silent,
        seen: Seen | None = None,
    ) -> Self:
        """Everything that a subject, a prior and a length need: from the cache, or made (minutes) and kept there.
        `seen` is called with the draws of the pool as they come (`first_look`).

        Raises:
            UserError: the length cannot be used, or there is no such site.
        """
        chosen, prior = subject.sites(sites), prior or Prior()
        longest = math.inf if subject.longest is None else subject.longest - len(subject.prefix)
        if not SHORTEST <= length <= longest:
            raise UserError(
                "inputs of this length cannot be sampled", given=f"{length} tokens", allowed=f"{SHORTEST} to {longest}"
            )
        pool = open_pool(subject, prior, length, draws, seed, progress, seen)
        data, hidden = site_data(Continuing(subject, chosen), pool, length, progress)
        return cls(subject, prior, length, pool, data, hidden)

    def question(self, activation: Float[Tensor, " d"], site: Site | str) -> Question:
        """The question which inputs produce an activation of a site.

        Raises:
            UserError: the site is not one of these, or the activation does not fit it.
        """
        where = Site.parse(site) if isinstance(site, str) else site
        if where not in self.sites:
            raise UserError("this site was not opened", given=where, allowed=", ".join(map(str, self.sites)))
        data = self.sites[where]
        if activation.shape != data.units.mean.shape or not activation.isfinite().all():
            raise UserError(
                "this is no activation of the site",
                given=f"{where}: shape {list(activation.shape)}",
                allowed=f"{len(data.units.mean)} finite numbers",
            )
        target = data.units.standardize(activation[None].float())[0]
        return Question(data, target, Continuing(self.subject, [where]), self.pool, self.words)

    def ends(self, question: Question) -> Ends:
        """Proposal for the last tokens of a question's inputs."""
        return Ends(question, self.pairs)

    def posterior(self, question: Question) -> SubjectPosterior:
        """The question as a posterior, for chains and searches."""
        return SubjectPosterior(question)

    def weighted(
        self,
        question: Question,
        source: Sequence[int] | None = None,
        proposals: int = PROPOSALS,
        seed: int = 0,
        progress: Progress = silent,
    ) -> Weighted:
        """Weighted draws for a question; `source` is the source input without prefix, where it has this length."""
        rng = torch.Generator().manual_seed(seed)
        progress(0, 1, "pairs of tokens read backwards")
        pairs = self.pairs
        progress(0, 1, "proposal of the last tokens")
        ends = Ends(question, pairs)
        counts = {m: proposals if m == 1 else proposals // 4 for m in range(1, ends.depth + 1)}
        found = strata(question, ends, counts, rng, progress)
        if source is None or len(source) != self.length:
            return Weighted(found)
        scored = self.posterior(question).score(torch.tensor([list(source)]))
        rows = {tuple(row) for stratum in found for row in stratum.tokens.tolist()}
        return Weighted(found, (float(scored.log_p[0]), float(scored.distance[0])), tuple(source) in rows)

    def invert(
        self,
        text: str | Messages | None = None,
        *,
        site: str,
        vector: Any = None,
        name: str = "the vector",
        position: Position = LAST,
        bits: float | None = None,
        bandwidth: float | None = None,
        n: int = 16,
        proposals: int = PROPOSALS,
        seed: int = 0,
        progress: Progress = silent,
        coarser: bool = False,
    ) -> Answer:
        """Draws from the posterior of the activation of `text` at a position, or of a vector, with their verdict.

        Args:
            text: a text, or a conversation.
            site: one of the sites that were opened.
            vector: an activation in place of a text's: numbers of the site's width in the subject's own units, neither
                centred nor scaled.
            name: stands for the vector in the answer.
            position: "last", an index, a piece of the text, or a role and its turn. If the text is too long for
                the subject, the tokens nearest to it are kept.
            bits: what is to be kept: the divergence of the posterior from the prior; the bandwidth follows.
            bandwidth: h, in place of bits.
            n: number of draws that are given.
            proposals: ends of one token, and a quarter as many longer ones; more make the answer finer and slower.
            seed: decides the draws.
            progress: called as proposed inputs are read.
            coarser: where so many bits are not to be believed, answer with the most that are.

        Raises:
            UserError: the site was not opened; both or no positive resolution is given, or both or neither of a text
                and a vector; or the vector cannot be an activation of the site.
        """
        _check(bits, bandwidth)
        source = self.source(text, site, vector, name, position)
        weighted = self.weighted(source.question, source.own, proposals, seed, progress)
        estimate = weighted.at(bandwidth) if bandwidth is not None else weighted.at_bits(bits or BITS)
        found = answer(self, source, weighted, estimate, bits if bandwidth is None else None, n, seed)
        if not coarser or found.believed or found.believed_bits is None:
            return found
        return answer(self, source, weighted, weighted.at_bits(found.believed_bits), found.believed_bits, n, seed)

    def search(
        self,
        kind: Kind,
        text: str | Messages | None = None,
        *,
        site: str,
        budget: Budget,
        vector: Any = None,
        name: str = "the vector",
        position: Position = LAST,
        bandwidth: float | None = None,
        seed: int = 0,
    ) -> SearchAnswer:
        """Single inputs for the activation of `text` at a position, or for a vector: `best`, `nearest` or `shortest`.

        Raises:
            UserError: as of `invert`; or the nearest was given a bandwidth.
        """
        source = self.source(text, site, vector, name, position)
        return searching.invert(self, source, kind, budget, bandwidth, seed)

    def source(
        self,
        text: str | Messages | None,
        site: Site | str,
        vector: Any = None,
        name: str = "the vector",
        position: Position = LAST,
    ) -> Source:
        """The question about the activation of a text at a position, or about a vector.

        Raises:
            UserError: both or neither are given, the site was not opened, or the vector cannot be its activation.
        """
        where = Site.parse(site) if isinstance(site, str) else site
        if (text is None) == (vector is None):
            both = "neither" if text is None else "both"
            raise UserError("a text or a vector is inverted", given=both, allowed="either a text or vector=...")
        if vector is not None:
            return Source(name, self.question(checked(vector, self.subject.dimension(where), name), where), None)
        assert text is not None
        tokens = keep_last(cut(self.subject, text, position), self.subject.prefix, self.subject.longest)
        activation = self.subject.capture([tokens], [where]).activations[where][0]
        own = tuple(tokens[len(self.subject.prefix) :])
        return Source(self.subject.show(tokens), self.question(activation, where), own)

    @cached_property
    def pairs(self) -> Backward:
        """Pairs of tokens read backwards."""
        return Backward(self.words, self.pool, self._hidden_alone)


def default_length(tokens: int) -> int:
    """Length of inputs for a source of so many tokens: its own, or the last ones of it."""
    return max(SHORTEST, min(tokens, LONGEST))


def _check(bits: float | None, bandwidth: float | None) -> None:
    given = [value for value in (bits, bandwidth) if value is not None]
    if len(given) > 1 or not all(math.isfinite(value) and value > 0 for value in given):
        raise UserError(
            "a resolution is bits or a bandwidth, a positive number",
            given=f"bits {bits}, bandwidth {bandwidth}",
            remedy="one of them, such as bits=6",
        )
