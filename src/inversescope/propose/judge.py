"""Judge: a language model that answers one question about many texts, and the reliability of its answers.

It judges blind: texts are numbered, mixed and shuffled, and nothing says which are held-out targets, their samples or
inputs of the prior.
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
from inversescope.propose.split import HeldOut
from inversescope.streams import Stream

BATCH = 16  # texts in one request
PROBES, PROBED = 4, 8  # questions with known answers, and texts of either answer for each
KNOWN = 0.8  # least share of right answers, for "yes" and for "no" each
AGREED = 0.75  # least share of repeated, and of negated, answers that agree
LONGEST_KNOWN = 300  # characters of a question of known answer at most
SHARE = 0.1  # least share of texts with the word of a question of known answer, and without it

Answers = dict[str, str | None]


@dataclass(frozen=True)
class Judged:
    """Answer as a record; `truth` where it is known, `answer` None where it could not be read."""

    kind: str
    question: str
    text: str
    answer: str | None
    truth: str | None = None


@dataclass
class Judge:
    """Judge behind an endpoint, with all its answers in `judged`.

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
            BudgetError: the requests go beyond the budget; replies that came are kept.
        """
        batches = list(self._batches(kind, texts))
        requests = [judge_request(question, batch, self.reply_tokens) for batch in batches]
        replies = self.endpoint.ask_all(requests, self.progress)
        answers: Answers = {}
        for batch, reply in zip(batches, replies, strict=True):
            parsed = read_answers(reply.text, batch)
            self.unparsed += not any(parsed.values())
            answers |= parsed
        truths = truth or {}
        self.judged += [Judged(kind, question, text, answer, truths.get(text)) for text, answer in answers.items()]
        return answers

    def accuracy(self, texts: Sequence[str]) -> JudgeAccuracy:
        """Accuracy of the judge on questions with a known answer: does a word occur in a text?"""
        right: dict[str, list[bool]] = {"yes": [], "no": []}
        undecided = 0
        for word, truth in probes(texts, Stream.JUDGE_PROBES.rng(self.seed)):
            for text, answer in self.answers("known", has_word(word), list(truth), truth).items():
                if (label := LABELS.get(answer or "")) is not None:
                    right[truth[text]].append(label == truth[text])
                undecided += answer is not None and label is None
        sizes = len(right["yes"]), len(right["no"])
        return JudgeAccuracy(_share(right["yes"]), _share(right["no"]), *sizes, undecided)

    def consistency(self, question: str, answers: Answers) -> tuple[float | None, float | None]:
        """Share of answers that are the same when the question is repeated among other texts, and that are the opposite
        when it is negated; over texts of either answer, None where none can be compared.
        """
        texts = self._either(answers)
        again = self.answers("repeated", question, texts)
        opposite = self.answers("negated", negated(question), texts)
        same = [answers[text] == again[text] for text in texts if LABELS.get(again[text] or "")]
        reversed_ = [answers[text] != opposite[text] for text in texts if LABELS.get(opposite[text] or "")]
        return _share(same), _share(reversed_)

    def _either(self, answers: Answers) -> list[str]:
        """Texts for one request, half of them answered with yes if there are so many, the others with no."""
        rng = Stream.JUDGE_REPEATS.rng(self.seed)
        groups = [[text for text in sorted(answers) if answers[text] == label] for label in ("yes", "no")]
        few = min(BATCH // 2, *map(len, groups))
        sizes = [min(len(group), BATCH - few) for group in groups]
        return [group[i] for group, n in zip(groups, sizes, strict=True) for i in rng.permutation(len(group))[:n]]

    def _batches(self, kind: str, texts: Sequence[str]) -> Iterator[list[str]]:
        """The texts in a random order, another one for each kind."""
        order = Stream.JUDGE_ORDER.rng(self.seed, *kind.encode()).permutation(len(texts))
        shuffled = [texts[int(i)] for i in order]
        for start in range(0, len(shuffled), BATCH):
            yield shuffled[start : start + BATCH]


@dataclass(frozen=True)
class JudgeAccuracy:
    """Shares of right answers where "yes" is right (`sensitivity`, of `positives` answers of yes or no) and where "no"
    is (`specificity`, of `negatives`). The `undecided` are in neither, as in no share that is corrected by these two.
    """

    sensitivity: float | None
    specificity: float | None
    positives: int
    negatives: int
    undecided: int

    @property
    def n(self) -> int:
        """Number of answers of yes or no."""
        return self.positives + self.negatives

    @property
    def problem(self) -> str | None:
        """Reason not to rely on the judge; None if there is none."""
        if self.sensitivity is None or self.specificity is None:
            return "nothing says how often the judge is right: no question of known answer could be asked or read"
        if self.undecided > self.n:
            return "the judge decides fewer than half of the texts where the answer is known"
        if min(self.sensitivity, self.specificity) < KNOWN:
            return (
                f"the judge is wrong where the answer is known: right {self.sensitivity:.2f} of the time where it is "
                f"yes, {self.specificity:.2f} where it is no, {KNOWN} needed"
            )
        return None


def distrust(held_out: HeldOut, answers: Answers, repeated: float | None, negated: float | None) -> str | None:
    """Reason not to use the answers to a question; None if there is none."""
    labels = {label for text in held_out.texts if (label := LABELS.get(answers[text] or "")) is not None}
    if len(labels) == 1 and _decides(answers):
        return f'the judge says "{labels.pop()}" of every text, distractors included'
    return unsteady(answers, repeated, negated)


def unsteady(answers: Answers, repeated: float | None, negated: float | None) -> str | None:
    """Reason not to use the answers to a question that may be the same for all texts; None if there is none."""
    if not _decides(answers):
        return "the judge decides fewer than half of the texts"
    for share, what in ((repeated, "asked again"), (negated, "asked the opposite")):
        if share is None or share < AGREED:
            agreement = (
                "none can be compared" if share is None else f"{share:.2f} of its answers agree, {AGREED} needed"
            )
            return f"the judge contradicts itself when {what}: {agreement}"
    return None


def _decides(answers: Answers) -> bool:
    return sum(answer in ("yes", "no") for answer in answers.values()) >= len(answers) / 2


def most_requests(held_out: HeldOut, questions: int, longest: int, reply_tokens: int) -> list[Request]:
    """Requests for judging so many questions of at most `longest` characters, as many and as long as they can be."""
    one = question_requests(held_out, longest, reply_tokens)
    return [*known_requests(held_out, reply_tokens, longest), *(one * questions)] if questions else []


def question_requests(held_out: HeldOut, longest: int, reply_tokens: int) -> list[Request]:
    """Requests for one question about every text, repeated and negated."""
    texts = sorted(held_out.texts, key=len, reverse=True)
    parts = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
    question = "x" * longest
    one = [judge_request(question, batch, reply_tokens) for batch in [*parts, texts[:BATCH]]]
    return [*one, judge_request(negated(question), texts[:BATCH], reply_tokens)]


def known_requests(held_out: HeldOut, reply_tokens: int, longest: int = LONGEST_KNOWN) -> list[Request]:
    """Requests for the questions of known answer."""
    texts = sorted(held_out.texts, key=len, reverse=True)
    return [judge_request("x" * longest, texts[:BATCH], reply_tokens)] * (PROBES * -(-2 * PROBED // BATCH))


def probes(texts: Sequence[str], rng: np.random.Generator) -> Iterator[tuple[str, dict[str, str]]]:
    """Words that about half of the texts have, each with texts that have it (`yes`) and as many that do not (`no`).

    No two words are in the same texts.
    """
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
