"""Known answers: greedy decoding of the subject among the possible answers.

Every step of a run, and every question to it, makes the task anew; so the answers of a model are kept in the user's
cache, under a hash of the model and of all prompts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from inversescope import files
from inversescope.errors import UserError
from inversescope.tasks.task import TaskSubject, Tokens

_OPEN = ("'", '"', "(", "[", "/")  # after one of these an answer starts at once, elsewhere with a space
CHUNK = 256  # prompts read at once: their logits are over the whole vocabulary

# The logits of the next token of some prompts, given by number, each with what is written behind it so far.
Read = Callable[[Sequence[int], Sequence[Tokens]], Any]


def answer_tokens(subject: TaskSubject, prompt: str, answer: str) -> Tokens:
    """The tokens of an answer after this prompt; none where it would share a token with the prompt."""
    before = subject.encode(prompt)
    whole = subject.encode(f"{prompt}{'' if prompt.endswith(_OPEN) else ' '}{answer}")
    return tuple(whole[len(before) :]) if whole[: len(before)] == before else ()


def choices(subject: TaskSubject, prompts: Sequence[str], answers: Sequence[str]) -> list[str | None]:
    """For each prompt the answer by greedy decoding, in which only tokens of the answers may be written.

    If one answer begins with another (Guinea, Guinea-Bissau), the longer is given if its next token is the likeliest of
    all. The prompts end alike, so that an answer has the same tokens after each; None where no answer can
    be written behind them.
    """
    path = _kept(subject, prompts, answers)
    if path is None:
        return _decode(subject, prompts, answers)
    try:
        return files.read_sealed(path)["answers"]
    except (FileNotFoundError, UserError):  # there are none, or they were damaged
        decoded = _decode(subject, prompts, answers)
        files.write_sealed(path, {"answers": decoded})
        return decoded


def _kept(subject: TaskSubject, prompts: Sequence[str], answers: Sequence[str]) -> Path | None:
    """File with the choices of a model; None for a subject without a model."""
    from inversescope.subject import Subject
    from inversescope.subject.bundled import cache_folder

    if not isinstance(subject, Subject):
        return None
    key = json.dumps([subject.fingerprint, str(subject.dtype), list(subject.prefix), prompts, answers])
    return cache_folder().parent / "answers" / f"{files.sha256_of(key)}.json"


def _decode(subject: TaskSubject, prompts: Sequence[str], answers: Sequence[str]) -> list[str | None]:
    encoded = [tuple(subject.encode(prompt)) for prompt in prompts]

    def read(rows: Sequence[int], written: Sequence[Tokens]) -> Any:
        inputs = [encoded[row] + tokens for row, tokens in zip(rows, written, strict=True)]
        return subject.capture(inputs, [], logits=True).logits

    return decode(read, len(prompts), spellings(subject, prompts[0], answers))


def spellings(subject: TaskSubject, prompt: str, answers: Sequence[str]) -> dict[str, Tokens]:
    """The tokens after this prompt of each answer that can be written there."""
    return {answer: tokens for answer in answers if (tokens := answer_tokens(subject, prompt, answer))}


def decode(read: Read, prompts: int, spelled: Mapping[str, Tokens]) -> list[str | None]:
    """The answers that greedy decoding gives (see `choices`) to so many prompts, whose logits `read` gives."""
    chosen: list[str | None] = [None] * prompts
    going: list[tuple[int, Tokens, list[str]]] = [(row, (), list(spelled)) for row in range(prompts) if spelled]
    depth = 0
    while going:
        following = []
        for start in range(0, len(going), CHUNK):
            chunk = going[start : start + CHUNK]
            logits = read([row for row, _, _ in chunk], [written for _, written, _ in chunk])
            for (row, written, left), values in zip(chunk, logits, strict=True):
                ended = [answer for answer in left if len(spelled[answer]) == depth]
                nexts = sorted({spelled[answer][depth] for answer in left if len(spelled[answer]) > depth})
                best = nexts[int(values[nexts].argmax())]
                if ended and int(values.argmax()) != best:
                    chosen[row] = ended[0]
                    continue
                left = [answer for answer in left if spelled[answer][depth : depth + 1] == (best,)]
                if len(left) == 1:
                    chosen[row] = left[0]
                else:
                    following.append((row, (*written, best), left))
        going, depth = following, depth + 1
    return chosen
