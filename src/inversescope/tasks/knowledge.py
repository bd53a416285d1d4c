"""Does the subject know the answer? Greedy decoding among the answers there are.

Every step of a run, and every question to it, makes the task anew; so what a model answered is kept in the user's
cache, under a hash of the model and of everything it was asked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from inversescope import files
from inversescope.tasks.task import TaskSubject, Tokens

_OPEN = ("'", '"', "(", "[", "/")  # after one of these an answer starts at once, elsewhere with a space
CHUNK = 256  # prompts read at once: their logits are over the whole vocabulary


def answer_tokens(subject: TaskSubject, prompt: str, answer: str) -> Tokens:
    """The tokens of an answer after this prompt; none where it would share a token with the prompt."""
    before = subject.encode(prompt)
    whole = subject.encode(f"{prompt}{'' if prompt.endswith(_OPEN) else ' '}{answer}")
    return tuple(whole[len(before) :]) if whole[: len(before)] == before else ()


def choices(subject: TaskSubject, prompts: Sequence[str], answers: Sequence[str]) -> list[str | None]:
    """For each prompt the answer that greedy decoding gives, where only tokens of the answers may be written.

    Where one answer goes on from another (Guinea, Guinea-Bissau), the longer is given if its next token is the
    likeliest of all. The prompts end alike, so that an answer has the same tokens after each; None where no answer can
    be written behind them.
    """
    path = _kept(subject, prompts, answers)
    if path is None:
        return _decode(subject, prompts, answers)
    if not path.exists():
        files.write_json(path, _decode(subject, prompts, answers))
    return files.read_json(path)


def _kept(subject: TaskSubject, prompts: Sequence[str], answers: Sequence[str]) -> Path | None:
    """Where the choices of a model are kept; None for a subject that is not one."""
    from inversescope.subject import Subject
    from inversescope.subject.bundled import cache_folder

    if not isinstance(subject, Subject):
        return None
    asked = json.dumps([subject.fingerprint, str(subject.dtype), list(subject.prefix), prompts, answers])
    return cache_folder().parent / "answers" / f"{hashlib.sha256(asked.encode()).hexdigest()}.json"


def _decode(subject: TaskSubject, prompts: Sequence[str], answers: Sequence[str]) -> list[str | None]:
    spelled = {answer: tokens for answer in answers if (tokens := answer_tokens(subject, prompts[0], answer))}
    chosen: list[str | None] = [None] * len(prompts)
    going = [(row, tuple(subject.encode(prompt)), list(spelled)) for row, prompt in enumerate(prompts) if spelled]
    depth = 0
    while going:
        following = []
        for start in range(0, len(going), CHUNK):
            chunk = going[start : start + CHUNK]
            logits = subject.capture([tokens for _, tokens, _ in chunk], [], logits=True).logits
            for (row, tokens, left), values in zip(chunk, logits, strict=True):
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
                    following.append((row, (*tokens, best), left))
        going, depth = following, depth + 1
    return chosen
