"""Interface of a task: a prior P(x) that can be sampled, a cut, features with a parser, and the subject's accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

from numpy.random import Generator
from pydantic import BaseModel, ConfigDict, Field

from inversescope.errors import UserError
from inversescope.paths import ConfigPath
from inversescope.position import Messages

Tokens = tuple[int, ...]
Labels = dict[str, str | None]


class TaskConfig(BaseModel):
    """Settings of every task. A task adds its `name` (a literal with itself as the default) and its settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: ConfigPath | None = Field(
        default=None, description="Python file that defines the task; not set: an installed task (`inversescope tasks`)"
    )


@runtime_checkable
class TaskSubject(Protocol):
    """The part of a subject that a task uses."""

    @property
    def prefix(self) -> Tokens:
        """The tokens that start every input."""
        ...

    @property
    def untrained(self) -> bool:
        """True if its weights are random or missing, so that its answers mean nothing."""
        ...

    def encode(self, text: str) -> list[int]:
        """Token ids, prefix included."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Text, prefix dropped."""
        ...

    def converse(self, messages: Messages) -> str:
        """A conversation as the chat template writes it."""
        ...

    def capture(self, inputs: Sequence[Sequence[int]], sites: Sequence[Any], *, logits: bool = False) -> Any:
        """Activations and, if wanted, `.logits` [inputs, vocabulary] at the last token of each input."""
        ...


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of the subject: a share of `n` prompts with its 95% interval (Wilson).

    `what` is one sentence on what is counted; `needed` is the share below which an explanation is refused.
    """

    value: float
    low: float
    high: float
    n: int
    what: str
    needed: float

    @classmethod
    def count(cls, right: int, n: int, *, what: str, needed: float) -> Self:
        """`right` of `n` prompts, n at least 1."""
        from scipy.stats import binomtest

        interval = binomtest(right, n).proportion_ci(method="wilson")
        return cls(right / n, float(interval.low), float(interval.high), n, what, needed)


def require(accuracy: Accuracy, *, force: bool) -> None:
    """Refuse to explain a task that the subject cannot do.

    The measured value decides, not the interval's end: with few prompts the interval of a perfect subject is wide.

    Raises:
        UserError: the accuracy is below what is needed, and `force` is off.
    """
    if accuracy.value < accuracy.needed and not force:
        raise UserError(
            "the subject cannot do this task, so there is nothing to explain",
            given=f"accuracy {accuracy.value:.3f} [{accuracy.low:.3f}, {accuracy.high:.3f}] over {accuracy.n} prompts: "
            f"{accuracy.what}",
            allowed=f"at least {accuracy.needed}",
            remedy="take another subject or task, or set force = true in the task's config",
        )


class Question(NamedTuple):
    """A prompt that asks for an attribute of an entity: `before` ends with the entity, `after` is the rest. The right
    answer is what an input about the entity has for its label of the attribute's name.
    """

    attribute: str
    before: str
    after: str

    @property
    def prompt(self) -> str:
        """The whole of it."""
        return self.before + self.after


@runtime_checkable
class AskingTask(Protocol):
    """A task with questions: its inputs end with an entity, and prompts ask the subject for its attributes."""

    @property
    def answers(self) -> Mapping[str, Sequence[str]]:
        """Attributes in question, each with its possible answers."""
        ...

    def questions(self, tokens: Sequence[int]) -> list[Question]:
        """Every question about the entity with which a token sequence ends; none where it ends with none."""
        ...


@runtime_checkable
class Task(Protocol):
    """A prior over inputs with a fixed cut, and the features that are read off them."""

    @property
    def name(self) -> str:
        """The task's name in a config."""
        ...

    @property
    def cut(self) -> str:
        """End of the inputs."""
        ...

    @property
    def rows(self) -> int | None:
        """Number of draws until the prior is used up; None if it never is."""
        ...

    @property
    def features(self) -> tuple[str, ...]:
        """The features that at least some inputs of the prior decide."""
        ...

    def draw(self, n: int, rng: Generator) -> list[Tokens]:
        """`n` inputs x ~ P, prefix included, cut applied."""
        ...

    def enumerate(self) -> Iterator[tuple[Tokens, float]]:
        """Every distinct input with its probability P(x)."""
        ...

    def labels(self, tokens: Sequence[int]) -> Labels:
        """Every feature of any token sequence; None is undecided. Malformed input never raises."""
        ...

    def log_prior(self, tokens: Sequence[int]) -> float | None:
        """ln P(x) in nats; -inf outside the support, None where P is not known."""
        ...

    def contrast(self, tokens: Sequence[int]) -> tuple[int, int] | None:
        """The right next token of an input and the wrong one, whose logits are compared; None where there are none."""
        ...

    def accuracy(self, subject: TaskSubject, n: int, rng: Generator) -> Accuracy | None:
        """Accuracy of the subject over `n` prompts; None where that has no meaning."""
        ...
