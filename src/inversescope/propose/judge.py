"""A language model as a judge: one question about many texts, blind, and how far its answers can be relied on.

It is shown texts by number, mixed and shuffled: held-out targets, their samples and inputs of the prior, without a word
on which is which.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from inversescope.progress import Progress, silent
from inversescope.propose.endpoint import Endpoint, Request
from inversescope.propose.parsing import LABELS, read_answers
from inversescope.propose.prompts import has_word, judge_request, negated
from inversescope.propose.split import Blind
from inversescope.streams import Stream

BATCH = 16  # texts in one request
PROBES, PROBED = 4, 8  # questions of known answer, and texts of either answer for each
KNOWN = 0.8  # share of the known answers, of "yes" and of "no" each, that a judge must give
AGREED = 0.75  # share of repeated, and of negated, answers that must agree
SHARE = 0.1  # of the texts must have a word that is asked for, and as many must not

Answers = dict[str, str | None]


@dataclass(frozen=True)
class Judged:
    """One answer as it is recorded; `truth` where it is known, `answer` None where it could not be read."""

    kind: str
    question: str
    text: str
    answer: str | None
    truth: str | None = None


@dataclass
class Judge:
    """Asks an endpoint, and keeps what it was told in `judged`.

    Attributes:
        progress: called at every reply.
        unparsed: replies in which not one answer could be read.
    """

    endpoint: Endpoint
    reply_tokens: int
    seed: int
    progress: Progress = silent
    judged: list[Judged] = field(default_factory=list)
    unparsed: int = 0

    def answers(
        self, kind: str, question: str, texts: Sequence[str], truth: Mapping[str, str] | None = None
    ) -> Answers:
        """The answer about each text; None where it cannot be read.

        Raises:
            BudgetError: asking all of it would go beyond the budget; replies that came are kept.
        """
        parts = list(self._batches(kind, texts))
        requests = [judge_request(question, part, self.reply_tokens) for part in parts]
        replies = self.endpoint.ask_all(requests, self.progress)
        found: Answers = {}
        for part, reply in zip(parts, replies, strict=True):
            read = read_answers(reply.text, part)
            self.unparsed += not any(read.values())
            found |= read
        known = truth or {}
        self.judged += [Judged(kind, question, text, answer, known.get(text)) for text, answer in found.items()]
        return found

    def known(self, texts: Sequence[str]) -> Known:
        """The judge's own error, on questions whose answer is known: whether a word occurs in a text."""
        right: dict[str, list[bool]] = {"yes": [], "no": []}
        for word, asked in probes(texts, Stream.JUDGE_PROBES.rng(self.seed)):
            for text, answer in self.answers("known", has_word(word), list(asked), asked).items():
                if answer is not None:
                    right[asked[text]].append(answer == asked[text])
        return Known(_share(right["yes"]), _share(right["no"]), len(right["yes"]) + len(right["no"]))

    def consistency(self, question: str, answers: Answers) -> tuple[float | None, float | None]:
        """How often an answer is the same when it is asked for again in another company, and the opposite when the
        question is negated; over texts of either answer, None where none can be compared."""
        texts = self._either(answers)
        again = self.answers("repeated", question, texts)
        opposite = self.answers("negated", negated(question), texts)
        same = [answers[text] == again[text] for text in texts if LABELS.get(again[text] or "")]
        turned = [answers[text] != opposite[text] for text in texts if LABELS.get(opposite[text] or "")]
        return _share(same), _share(turned)

    def _either(self, answers: Answers) -> list[str]:
        """A request's worth of texts that were answered, half of them with yes if there are so many."""
        rng = Stream.JUDGE_REPEATS.rng(self.seed)
        groups = [[text for text in sorted(answers) if answers[text] == label] for label in ("yes", "no")]
        few = min(BATCH // 2, *map(len, groups))
        sizes = [min(len(group), BATCH - few) for group in groups]
        return [group[i] for group, n in zip(groups, sizes, strict=True) for i in rng.permutation(len(group))[:n]]

    def _batches(self, kind: str, texts: Sequence[str]) -> Iterator[list[str]]:
        """The texts in an order that says nothing, and is another one for another kind."""
        order = Stream.JUDGE_ORDER.rng(self.seed, *kind.encode()).permutation(len(texts))
        shuffled = [texts[int(i)] for i in order]
        for start in range(0, len(shuffled), BATCH):
            yield shuffled[start : start + BATCH]


@dataclass(frozen=True)
class Known:
    """Shares of right answers where "yes" is right (`sensitivity`) and where "no" is (`specificity`), of `n` read."""

    sensitivity: float | None
    specificity: float | None
    n: int

    @property
    def problem(self) -> str | None:
        """Why the judge cannot be relied on; None if it can."""
        if self.sensitivity is None or self.specificity is None:
            return "nothing says how often the judge is right: no question of known answer could be asked or read"
        if min(self.sensitivity, self.specificity) < KNOWN:
            return (
                f"the judge is wrong where the answer is known: right {self.sensitivity:.2f} of the time where it is "
                f"yes, {self.specificity:.2f} where it is no, {KNOWN} needed"
            )
        return None


def distrust(blind: Blind, answers: Answers, same: float | None, turned: float | None) -> str | None:
    """Why the answers to a question cannot be used; None if they can."""
    given = [answers[text] for text in blind.texts]
    said = {label for answer in given if (label := LABELS.get(answer or "")) is not None}
    if sum(answer in ("yes", "no") for answer in given) < len(given) / 2:
        return "the judge decides fewer than half of the texts"
    if len(said) == 1:
        return f'the judge says "{said.pop()}" of every text, distractors included'
    for share, what in ((same, "asked again"), (turned, "asked the opposite")):
        if share is None or share < AGREED:
            found = "none can be compared" if share is None else f"{share:.2f} of its answers agree, {AGREED} needed"
            return f"the judge contradicts itself when {what}: {found}"
    return None


def most_requests(blind: Blind, questions: int, longest: int, reply_tokens: int) -> list[Request]:
    """As many requests, each as long, as judging so many questions of at most `longest` characters can take."""
    texts = sorted(blind.texts, key=len, reverse=True)
    parts = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
    question = "x" * longest
    one = [judge_request(question, part, reply_tokens) for part in [*parts, texts[:BATCH]]]
    one.append(judge_request(negated(question), texts[:BATCH], reply_tokens))
    known = [judge_request(question, texts[:BATCH], reply_tokens)] * (PROBES * -(-2 * PROBED // BATCH))
    return [*known, *(one * questions)] if questions else []


def probes(texts: Sequence[str], rng: np.random.Generator) -> Iterator[tuple[str, dict[str, str]]]:
    """Words that about half of the texts have, each with texts and whether they have it, as many of either; no two of
    them are in the same texts."""
    distinct = set(texts)
    having: defaultdict[str, set[str]] = defaultdict(set)
    for text in distinct:
        for word in _words(text):
            having[word].add(text)
    shares = {word: len(with_it) / len(distinct) for word, with_it in having.items()}
    enough = [word for word, share in shares.items() if SHARE <= share <= 1 - SHARE]
    nearest = sorted(enough, key=lambda word: (abs(shares[word] - 0.5), word))
    different: dict[frozenset[str], str] = {}  # words that always go together are one
    for word in nearest:
        different.setdefault(frozenset(having[word]), word)
    for word in list(different.values())[:PROBES]:
        groups = {"yes": sorted(having[word]), "no": sorted(distinct - having[word])}
        size = min(PROBED, *map(len, groups.values()))
        yield word, {group[i]: label for label, group in groups.items() for i in rng.permutation(len(group))[:size]}


def _words(text: str) -> Iterable[str]:
    return set(re.findall(r"\w+", text.casefold()))


def _share(right: Sequence[bool]) -> float | None:
    return sum(right) / len(right) if right else None
