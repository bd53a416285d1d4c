"""What executes the annotations of the package in the tests: beartype, with what it takes to be fair."""

import inspect
import sys
import typing

from beartype import BeartypeConf, FrozenDict, beartype

# jaxtyping hands over one function at a time, and a lone function does not tell beartype what `Self` is. An int is
# welcome where a float is (PEP 484).
checked = beartype(conf=BeartypeConf(hint_overrides=FrozenDict({typing.Self: typing.Any}), is_pep484_tower=True))

if sys.version_info < (3, 12):
    _MISSING = object()

    def _has(value: object, name: str) -> bool:
        """Look a member of a protocol up before evaluating it, as from Python 3.12 on: no check loads a subject."""
        return inspect.getattr_static(value, name, _MISSING) is not _MISSING or hasattr(value, name)

    typing.hasattr = _has
