"""A `UserError` compared by its values: what was given, what is allowed, what to do. Its sentences may change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from inversescope.errors import UserError

_FIELD = re.compile(r"^  (given:  |allowed:|try:    ) ", re.M)


@contextmanager
def refuses(*names: object, **fields: object) -> Iterator[pytest.ExceptionInfo[UserError]]:
    """Expect a `UserError` that `check` finds right."""
    with pytest.raises(UserError) as caught:
        yield caught
    check(caught.value, *names, **fields)


def check(error: UserError, *names: object, **fields: object) -> None:
    """Compare an error with values.

    Args:
        error: the error.
        names: keys, files and other values that the text holds, as whole words.
        fields: of `given`, `allowed` and `remedy`, values that the field holds as whole words; a tuple holds several.
            `True` only asks that the field is there.
    """
    assert all(_holds(error, name) for name in names), f"{names} not all in: {error}"
    for field, values in fields.items():
        text = getattr(error, field)
        assert text is not None, f"no {field} in: {error}"
        if values is not True:
            for value in values if isinstance(values, tuple) else (values,):
                assert _holds(text, value), f"{field} without {value}: {error}"


def printed(text: str) -> UserError:
    """The error that the command line has printed."""
    assert "Traceback" not in text, text
    _, found, message = text.partition("error: ")
    assert found, text
    problem, *parts = _FIELD.split(message)
    names = {"given:  ": "given", "allowed:": "allowed", "try:    ": "remedy"}
    fields = {names[label]: value.rstrip("\n") for label, value in zip(parts[::2], parts[1::2], strict=True)}
    return UserError(problem.rstrip("\n"), **fields)


def _holds(text: object, value: object) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(str(value))}(?![\w])", str(text)) is not None
