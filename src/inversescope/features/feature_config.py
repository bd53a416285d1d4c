"""A user's features as a config names them, one line each, and their readers: functions from an input to a label."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from inversescope.errors import UserError
from inversescope.features.language import as_label, parse
from inversescope.paths import folder_of, from_folder
from inversescope.python_file import UserCode, load_file
from inversescope.tasks.labels import plain

# From an input's text, and its labels in the task, to the label of a feature.
Reader = Callable[[str, Mapping[str, str | None]], str | None]
KINDS = ("expression", "regex", "function", "column")
ENTRY_POINTS = "inversescope.functions"  # the group in which another package names its functions


class FeatureConfig(BaseModel):
    """A feature of your own: exactly one of an expression, a regex, a function or a column."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    expression: str | None = Field(default=None, description="expression in the language of features")
    regex: str | None = Field(
        default=None,
        description="regular expression: yes if it is found, else no; with one group, the text of the group, and "
        "undecided if it is not found",
    )
    function: str | None = Field(
        default=None,
        description="Python function from a text to a label, or to None for undecided: `file.py:name` (run only with "
        "`--allow-code`), or the `package.module:name` that an installed package declares in the entry point group "
        "`inversescope.functions`",
    )
    column: str | None = Field(
        default=None, description="name of a feature of the task, such as a label column of `texts`"
    )
    undecided: str | None = Field(
        default=None, description="expression; the feature is undecided for every text for which this is yes"
    )

    @field_validator("expression")
    @classmethod
    def _can_be_read(cls, source: str | None) -> str | None:
        if source is not None:
            parse(source)
        return source

    @field_validator("function")
    @classmethod
    def _from_the_config(cls, address: str | None, info: Any) -> str | None:
        place = None if address is None else _file_and_name(address)
        return address if place is None else f"{from_folder(place[0], folder_of(info))}:{place[1]}"

    @field_validator("undecided")
    @classmethod
    def _yes_or_no(cls, source: str | None) -> str | None:
        if source is not None and parse(source).kind != "yes or no":
            raise ValueError("the undecided case is an expression that says yes or no")
        return source

    @field_validator("regex")
    @classmethod
    def _at_most_one_group(cls, source: str | None) -> str | None:
        if source is not None:
            _regex(source)
        return source

    @field_validator("function")
    @classmethod
    def _in_a_file_or_declared(cls, address: str | None) -> str | None:
        if address is not None and _file_and_name(address) is None and address not in _declared():
            declared = ", ".join(_declared()) or "none"
            raise ValueError(
                f"{address!r} is no function that a config may name (allowed: file.py:name, or package.module:name of "
                f"an installed package that declares it as an entry point of {ENTRY_POINTS}: {declared})"
            )
        return address

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"a feature is given by exactly one of {', '.join(KINDS)}, not by {len(given)}")
        return self

    @property
    def annotated_by(self) -> str | None:
        """The libraries and models beyond InverseScope's own that its expressions use, with versions; None: none.

        Raises:
            UserError: the model of one cannot be loaded.
        """
        sources = [source for source in (self.expression, self.undecided) if source is not None]
        used = dict.fromkeys(annotator for source in sources for annotator in parse(source).annotators)
        return "; ".join(annotator.made_by() for annotator in used) or None

    @property
    def code(self) -> UserCode | None:
        """The file of the user's that its function stands in."""
        place = None if self.function is None else _file_and_name(self.function)
        return None if place is None else UserCode(place[0], f"function {place[1]}")

    @property
    def fingerprint(self) -> str | None:
        """SHA-256 of the file that its function stands in, which is not run; None without a function."""
        if self.function is None:
            return None
        if self.code is not None:
            return self.code.sha256
        found = find_spec(_declared()[self.function].module)
        assert found is not None and found.origin is not None
        return hashlib.sha256(Path(found.origin).read_bytes()).hexdigest()

    def reader(self, name: str) -> Reader:
        """Reader of the feature of this name.

        Raises:
            UserError: the user has not allowed the file of its function, or it cannot be loaded.
        """
        answer = self._reader(name)
        if self.undecided is None:
            return answer
        unless = parse(self.undecided)
        return lambda text, own: None if unless.label(text) == "yes" else answer(text, own)

    def _reader(self, name: str) -> Reader:
        if self.function is not None:
            return reader(name, self._load(self.function))
        if self.column is not None:
            column = self.column
            return lambda text, own: own[column]
        return reader(name, self.expression if self.expression is not None else _regex(self.regex or ""))

    def _load(self, address: str) -> Callable[[str], object]:
        place, code = _file_and_name(address), self.code
        try:
            if place is None or code is None:
                return _declared()[address].load()
            function = getattr(load_file(code), place[1], None)
        except UserError:
            raise
        except Exception as error:  # the user's code may raise anything
            given = f"{address}: {type(error).__name__}: {error}"
            raise UserError("the file of a feature's function cannot be loaded", given=given) from error
        if not callable(function):
            raise UserError("there is no such function in the file", given=address, allowed="file.py:name")
        return function


def reader(name: str, feature: str | Callable[[str], object]) -> Reader:
    """Reader of an expression, or of a function from a text to a label.

    Raises:
        UserError: the expression cannot be read.
    """
    if isinstance(feature, str):
        label = parse(feature).label
        return lambda text, own: label(text)
    return _function_reader(name, feature)


def _function_reader(name: str, function: Callable[[str], object]) -> Reader:
    """Reader of a function, which is called once for each text.

    The reader raises:
        UserError: the function fails, or gives something that is not a label.
    """

    @lru_cache(maxsize=65_536)
    def answer(text: str) -> str | None:
        try:
            value = plain(function(text))
        except Exception as error:  # the user's code may raise anything
            last = traceback.extract_tb(error.__traceback__)[-1]
            given = f"feature {name}, input {text!r}: {type(error).__name__}: {error} ({last.filename}:{last.lineno})"
            raise UserError("the function of a feature fails", given=given) from error
        if value is None or isinstance(value, str | bool | int):
            return as_label(value)
        given = f"feature {name}, input {text!r}: {value!r}"
        raise UserError(
            "the function of a feature gives something that is not a label",
            given=given,
            allowed="a text, a whole number, True, False, or None (undecided)",
        )

    return lambda text, own: answer(text)


def _file_and_name(address: str) -> tuple[Path, str] | None:
    """The file and the function of `file.py:name`; None for any other address."""
    file, _, name = address.rpartition(":")
    return (Path(file), name) if file.endswith(".py") and name.isidentifier() else None


def _declared() -> dict[str, EntryPoint]:
    """Functions that installed packages offer to configs."""
    return {point.value: point for point in entry_points(group=ENTRY_POINTS)}


def _regex(source: str) -> str:
    """The expression that a regular expression stands for."""
    try:
        return parse(f"extract({source!r})").source
    except UserError:
        return parse(f"matches({source!r})").source
