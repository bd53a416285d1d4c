"""Questions about entities, answered with other activations at the entity's last token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from inversescope.causal.donors import CausalData
from inversescope.errors import UserError
from inversescope.progress import Progress
from inversescope.sites import Site
from inversescope.subject import Subject
from inversescope.subject.patching import Patches, Source
from inversescope.tasks import AskingTask, Question, Tokens
from inversescope.tasks.known_answers import decode, spellings


class Query:
    """One question and its possible answers.

    Attributes:
        attribute: the attribute in question.
        before: the tokens up to the entity's last, at which activations are replaced.
    """

    def __init__(self, subject: Subject, question: Question, answers: Sequence[str]):
        self.attribute = question.attribute
        self.before: Tokens = tuple(subject.encode(question.before))
        self._source = Source(subject, subject.encode(question.prompt), len(self.before) - 1)
        self._spelled = spellings(subject, question.prompt, answers)

    @staticmethod
    def possible(subject: Subject, question: Question) -> bool:
        """True if the entity's last token is a token of the prompt: it may share one with the text after it."""
        before, whole = subject.encode(question.before), subject.encode(question.prompt)
        return whole[: len(before)] == before

    def answers(self, rows: Sequence[Patches]) -> list[str | None]:
        """The answer by greedy decoding among the possible ones, with the sites of each row set to its values."""

        def read(places: Sequence[int], written: Sequence[Tokens]) -> Float[Tensor, "rows vocabulary"]:
            return self._source.logits([rows[row] for row in places], written)

        return decode(read, len(rows), self._spelled)


class Questions:
    """Questions about each target that the undisturbed subject answers right; only these count.

    Attributes:
        right: for each target, the questions answered right.
        counts: numbers of questions and of right answers, by attribute.
    """

    def __init__(self, data: CausalData, task: AskingTask, targets: int, progress: Progress):
        inputs = data.store.inputs("target").tokens[:targets]
        queries: dict[str, tuple[Query, bool]] = {}
        self.right: list[list[Query]] = []
        counts = {attribute: {"questions": 0, "right": 0} for attribute in task.answers}
        for number, tokens in enumerate(inputs):
            progress(number, len(inputs), "targets, undisturbed")
            kept = []
            for question in task.questions(tokens):
                if question.prompt not in queries:
                    if not Query.possible(data.subject, question):
                        continue
                    query = Query(data.subject, question, task.answers[question.attribute])
                    correct = query.answers([{}])[0] == data.labels[question.attribute](tokens)
                    queries[question.prompt] = query, correct
                query, right = queries[question.prompt]
                counts[question.attribute]["questions"] += 1
                counts[question.attribute]["right"] += right
                kept += [query] if right else []
            self.right.append(kept)
        if not any(self.right):
            raise UserError(
                "the subject answers no question about a target right, so there is nothing to change",
                given=", ".join(f"{name}: 0 of {count['questions']}" for name, count in counts.items()),
                remedy="another subject, or entities that it knows",
            )
        self.counts: dict[str, Any] = {"targets": len(inputs), "attributes": counts}
        self._data = data

    def activations(self, sites: Sequence[Site]) -> dict[Site, dict[Query, Float[Tensor, " d"]]]:
        """Own activation of each question at each site, at the entity's last token."""
        queries = list(dict.fromkeys(question for kept in self.right for question in kept))
        read = self._data.subject.capture([query.before for query in queries], sites).activations
        return {site: dict(zip(queries, read[site], strict=True)) for site in sites}
