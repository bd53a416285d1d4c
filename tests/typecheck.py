"""What executes the annotations of the package in the tests: beartype, with what it takes to be fair."""

import typing

from beartype import BeartypeConf, FrozenDict, beartype

# jaxtyping hands over one function at a time, and a lone function does not tell beartype what `Self` is. An int is
# welcome where a float is (PEP 484).
checked = beartype(conf=BeartypeConf(hint_overrides=FrozenDict({typing.Self: typing.Any}), is_pep484_tower=True))
