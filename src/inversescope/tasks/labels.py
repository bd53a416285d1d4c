"""Labels by value and type: 0 and 0.0 are one label, and an empty one is undecided."""

from __future__ import annotations

import re
from datetime import date, time
from decimal import Decimal
from typing import Any

_EXACT = 2**53  # up to here every whole number is a float of its own
_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0+")  # as tables write whole numbers of a column with gaps


def plain(value: Any) -> Any:
    """The value, of NumPy's numbers and truth values as Python's."""
    return value.item() if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0 else value


def as_label(value: Any) -> str | None:
    """The label that a value stands for; None, undecided, for null, NaN and blank text.

    Raises:
        TypeError: it is none: a list, an object, bytes.
    """
    value = plain(value)
    if value is None or (isinstance(value, float | Decimal) and value != value):
        return None
    if isinstance(value, str):
        whole = _WHOLE.fullmatch(value)
        return (str(int(whole[1])) if whole else value) if value.strip() else None
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, float | Decimal):
        return str(int(value)) if abs(value) < _EXACT and value == int(value) else str(value)
    if isinstance(value, date | time):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no label")
