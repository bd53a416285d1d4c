"""The posterior of one activation of a real subject: any input is scored, and only what is new in it is read.

Dimensions: `n` inputs, `t` their tokens, `v` the vocabulary, `r` rows that are kept, `w` the width of the model.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inversescope.natural_text.posterior import Scored
from inversescope.natural_text.question import Question
from inversescope.natural_text.readings import prefix_key_values
from inversescope.subject.continuing import KeyValues

KEPT = 1024  # latest inputs whose keys and values are kept, beside the pool's


@dataclass
class _Kept:
    """Inputs with what is needed to read on behind any of their beginnings, and where each beginning stands."""

    key_values: KeyValues
    hidden: Float[Tensor, "r t w"]
    log_p: Float[Tensor, "r t"]
    owners: dict[int, tuple[int, ...]] = field(default_factory=dict)
    places: dict[tuple[int, ...], int] = field(default_factory=dict)
    free: int = 0

    def add(self, row: int, tokens: tuple[int, ...]) -> None:
        """Let the beginnings of an input be found in a row, and no longer the row's former ones."""
        former = self.owners.get(row, ())
        for t in range(1, len(former) + 1):
            if self.places.get(former[:t]) == row:
                del self.places[former[:t]]
        self.owners[row] = tokens
        for t in range(1, len(tokens) + 1):
            self.places[tokens[:t]] = row


class SubjectPosterior:
    """`posterior.Posterior` of a question about a subject."""

    def __init__(self, question: Question, kept: int = KEPT):
        self.question = question
        self._prefix = prefix_key_values(question.reader.subject)
        self._first = len(question.reader.subject.prefix)
        pool, length = question.pool, question.length
        self._pool = _Kept(pool.key_values, pool.hidden, pool.log_p)
        for row, tokens in enumerate(pool.tokens[:, :length].tolist()):
            self._pool.add(row, tuple(tokens))
        layers = tuple(
            tuple(part.new_empty(kept, part.shape[1], self._first + length, part.shape[3]) for part in pair)
            for pair in pool.key_values.layers
        )
        hidden = pool.hidden.new_empty(kept, length, pool.hidden.shape[2])
        self._latest = _Kept(KeyValues(tuple((k, v) for k, v in layers)), hidden, torch.empty(kept, length))

    @property
    def length(self) -> int:
        """Number of tokens of every input."""
        return self.question.length

    @torch.inference_mode()
    def score(self, tokens: Int[Tensor, "n t"], same_before: int = 0) -> Scored:
        """ln P(x) and δ of inputs, also of shorter ones, from one pass of the subject. Equal inputs are read once."""
        distinct, which = tokens.unique(dim=0, return_inverse=True)
        log_p, distance = torch.empty(len(distinct)), torch.empty(len(distinct))
        start = min(same_before, tokens.shape[1] - 1)
        # A batch that was read may have taken the rows of beginnings: what is kept is looked up for each batch anew.
        for batch in torch.arange(len(distinct)).split(self.question.reader.rows):
            for kept, rows, places in self._sources(distinct[batch], start):
                part = batch[rows]
                log_p[part], distance[part] = self._read(distinct[part], kept, places, start)
        return Scored(log_p[which], distance[which])

    @torch.inference_mode()
    def distance(self, tokens: Int[Tensor, "n t"], same_before: int = 0) -> Float[Tensor, " n"]:
        """δ alone, of inputs of any length: the subject is read up to the site, and nothing is kept."""
        question, found = self.question, torch.empty(len(tokens))
        size = question.reader.rows
        start = min(same_before, tokens.shape[1] - 1)
        for kept, rows, places in self._sources(tokens, start):
            for part, place in zip(rows.split(size), places.split(size), strict=True):
                begun, past = self._past(kept, place, start, question.reader.layers)
                read = question.reader.read(tokens[part, begun:], past, last=True)
                found[part] = question.distance(read.activations[question.data.site][:, -1])
        return found

    @torch.inference_mode()
    def next_log_probs(self, tokens: Int[Tensor, "n t"]) -> Float[Tensor, "n v"]:
        """ln P of every token behind beginnings."""
        words = self.question.words
        if tokens.shape[1] == 0:
            return words.first.expand(len(tokens), -1)
        distinct, which = tokens.unique(dim=0, return_inverse=True)
        parts = [words.next(self._hidden(part)[:, -1]).cpu() for part in distinct.split(self.question.reader.rows)]
        return torch.cat(parts)[which]

    @torch.inference_mode()
    def token_log_probs(self, tokens: Int[Tensor, "n t"]) -> Float[Tensor, "n t"]:
        """ln P of each token behind those before it."""
        words = self.question.words
        found = [self._find(tuple(row)) for row in tokens.tolist()]
        if found and all(found):
            return torch.stack([place[0].log_p[place[1], : tokens.shape[1]] for place in found if place])
        hidden = self._hidden(tokens)
        columns = [words.first[tokens[:, 0]]]
        for k in range(1, tokens.shape[1]):
            columns.append(words.next_of(hidden[:, k - 1], tokens[:, k]))
        return torch.stack(columns, 1)

    def _hidden(self, tokens: Int[Tensor, "n t"]) -> Float[Tensor, "n t w"]:
        """Hidden states that the head reads behind every token of some beginnings, kept or read."""
        found = [self._find(tuple(row)) for row in tokens.tolist()]
        if all(found):
            return torch.stack([place[0].hidden[place[1], : tokens.shape[1]] for place in found if place])
        read = self.question.reader.read(tokens, self._past(None, tokens[:, 0], 0)[1], whole=True)
        assert read.hidden is not None
        return read.hidden

    def _find(self, beginning: tuple[int, ...]) -> tuple[_Kept, int] | None:
        for kept in (self._latest, self._pool):
            if beginning in kept.places:
                return kept, kept.places[beginning]
        return None

    def _sources(self, tokens: Int[Tensor, "n t"], start: int) -> list[tuple[_Kept | None, Tensor, Tensor]]:
        """Inputs by what keeps their first `start` tokens: rows, and the places of their beginnings."""
        found = [self._find(tuple(row[:start])) if start else None for row in tokens.tolist()]
        groups: list[tuple[_Kept | None, Tensor, Tensor]] = []
        for kept in (self._latest, self._pool, None):
            rows = [i for i, place in enumerate(found) if (place[0] if place else None) is kept]
            places = [place[1] for i in rows if (place := found[i])]
            if rows:
                groups.append((kept, torch.tensor(rows), torch.tensor(places or [0] * len(rows))))
        return groups

    def _past(
        self, kept: _Kept | None, places: Int[Tensor, " n"], start: int, layers: int | None = None
    ) -> tuple[int, KeyValues | None]:
        """Number of tokens that need not be read, and keys and values of the prefix and of them."""
        if kept is not None:
            return start, kept.key_values.rows(places, self._first + start, layers)
        if self._prefix is None:
            return 0, None
        return 0, KeyValues(self._prefix.layers[:layers]).expanded(len(places))

    def _read(
        self, tokens: Int[Tensor, "n t"], kept: _Kept | None, places: Int[Tensor, " n"], start: int
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """ln P and δ of inputs, of which the first `start` tokens stand in rows of `kept`."""
        words, n = self.question.words, len(tokens)
        start, past = self._past(kept, places, start)
        if kept is None:
            hidden, log_p = None, torch.empty(n, 0)
            log_first = words.first[tokens[:, start]]
        else:
            hidden, log_p = kept.hidden[places, :start], kept.log_p[places, :start]
            log_first = words.next_of(hidden[:, -1], tokens[:, start])
        read = self.question.reader.read(tokens[:, start:], past, whole=True)
        assert read.hidden is not None
        later = range(start + 1, tokens.shape[1])
        columns = [log_first, *(words.next_of(read.hidden[:, k - start - 1], tokens[:, k]) for k in later)]
        log_p = torch.cat([log_p, torch.stack(columns, 1)], 1)
        whole = read.hidden if hidden is None else torch.cat([hidden, read.hidden], 1)
        self._keep(tokens, read.key_values, whole, log_p)
        activations = read.activations[self.question.data.site][:, -1]
        return log_p.sum(1), self.question.distance(activations)

    def _keep(
        self, tokens: Int[Tensor, "n t"], key_values: KeyValues, hidden: Tensor, log_p: Float[Tensor, "n t"]
    ) -> None:
        """Keep the latest inputs, in place of the oldest."""
        latest = self._latest
        size = len(latest.hidden)
        rows = (torch.arange(len(tokens)) + latest.free)[-size:] % size
        latest.free = (latest.free + len(tokens)) % size
        for mine, new in zip(latest.key_values.layers, key_values.layers, strict=True):
            for slab, part in zip(mine, new, strict=True):
                slab[rows, :, : part.shape[2]] = part[-size:]
        latest.hidden[rows, : tokens.shape[1]] = hidden[-size:]
        latest.log_p[rows, : tokens.shape[1]] = log_p[-size:]
        for row, input_ in zip(rows.tolist(), tokens[-size:].tolist(), strict=True):
            latest.add(row, tuple(input_))
