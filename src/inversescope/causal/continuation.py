"""Continuation of an input, behind which the effect of a patch is measured; the patch stays where the input ends."""

from __future__ import annotations

from inversescope.errors import UserError
from inversescope.subject import Subject
from inversescope.subject.patching import Source
from inversescope.tasks import Tokens

Continuation = int | str


def continued(subject: Subject, tokens: Tokens, continuation: Continuation) -> Tokens:
    """The input with so many tokens of the subject's own behind it (the likeliest, one by one), or with a text.

    Raises:
        UserError: the text does not begin with a token of its own.
    """
    if isinstance(continuation, str):
        whole = tuple(subject.encode(subject.decode(tokens) + continuation))
        if whole[: len(tokens)] != tuple(tokens) or len(whole) == len(tokens):
            raise UserError(
                "the continuation does not leave the tokens of an input as they are",
                given=f"{subject.decode(tokens)!r}, then {continuation!r}",
                remedy="begin causal.continuation with a space",
            )
        return whole
    if not continuation:
        return tuple(tokens)
    source, written = Source(subject, tokens), []
    for _ in range(continuation):
        written.append(int(source.logits([{}], [tuple(written)])[0].argmax()))
    return (*tokens, *written)


def described(continuation: Continuation) -> str | None:
    """A continuation in the records; None where there is none."""
    if isinstance(continuation, str):
        return continuation
    return f"{continuation} tokens" if continuation else None
