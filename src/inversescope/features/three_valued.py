"""Operators of the feature language, and its logic of three values: true, false and undecided (None)."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Sequence

from inversescope.features.functions import Value

Evaluate = Callable[[str], Value]
ORDER = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}
SAME = {ast.Eq: operator.eq, ast.NotEq: operator.ne}
MEMBER = {ast.In: True, ast.NotIn: False}
ARITHMETIC = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}
DIVISION = {ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod}


def applied(compute: Callable[..., Value], arguments: Sequence[Callable[[str], object]]) -> Evaluate:
    """A function of parts; undecided where one of them is."""

    def value(text: str) -> Value:
        values = [argument(text) for argument in arguments]
        return None if None in values else compute(*values)

    return value


def joined(conditions: Sequence[Evaluate], ends_on: bool) -> Evaluate:
    """`and` (which ends on False) or `or` (which ends on True), with undecided between."""

    def value(text: str) -> Value:
        result: Value = not ends_on
        for condition in conditions:
            value = condition(text)
            if value is ends_on:
                return ends_on
            result = None if value is None else result
        return result

    return value
