"""What executes the annotations of the package in the tests: beartype, with one exception it cannot do without."""

import typing

from beartype import BeartypeConf, FrozenDict, beartype

# jaxtyping hands over one function at a time, and a lone function does not tell beartype what `Self` is.
checked = beartype(conf=BeartypeConf(hint_overrides=FrozenDict({typing.Self: typing.Any})))
