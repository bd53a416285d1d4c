"""Errors meant for users: what was wrong, what was given, what is allowed, what to do."""

from __future__ import annotations

from typing import Any

LONGEST = 1000  # characters of a value that are shown


class UserError(ValueError):
    """A problem that the user can mend. The CLI prints it and exits with code 2; in Python it is a `ValueError`.

    Args:
        problem: what was wrong, one sentence without a final period.
        given: the offending value; a blank one is shown in quotes.
        allowed: what would have been accepted.
        remedy: what to do next.
    """

    def __init__(self, problem: str, *, given: object = None, allowed: object = None, remedy: str | None = None):
        parts = [problem]
        if given is not None:
            shown = str(given) if str(given).strip() else repr(given)
            parts.append(f"  given:   {shown if len(shown) <= LONGEST else shown[:LONGEST] + ' …'}")
        if allowed is not None:
            parts.append(f"  allowed: {allowed}")
        if remedy is not None:
            parts.append(f"  try:     {remedy}")
        super().__init__("\n".join(parts))
        self.problem, self.given, self.allowed, self.remedy = problem, given, allowed, remedy

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled with its parts: a worker's error comes from another process."""
        given = None if self.given is None else str(self.given)
        allowed = None if self.allowed is None else str(self.allowed)
        return _unpickled, (type(self), self.problem, given, allowed, self.remedy)


class CodeNotAllowedError(UserError):
    """Python code of a config would be run that the user has not allowed (`python_file`)."""


def _unpickled(kind: type[UserError], problem: str, given: object, allowed: object, remedy: str | None) -> UserError:
    return kind(problem, given=given, allowed=allowed, remedy=remedy)
