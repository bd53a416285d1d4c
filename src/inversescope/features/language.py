"""Feature language: a few Python expressions, parsed by `ast` and interpreted here.

It is written by hand, for two reasons. Expressions are untrusted text (a language model proposes them), so nothing is
handed to Python to run. And its logic has three values: undecided is None, "no and undecided" is no, "yes or undecided"
is yes, all else with an undecided part is undecided. Every part has a kind (yes or no, number, text) that is known once
the expression is parsed, so an expression that parses can be evaluated on any text. docs/features.md lists the words.
"""

from __future__ import annotations

import ast
import itertools
import operator
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from inversescope.errors import UserError
from inversescope.features import three_valued as logic
from inversescope.features.annotators import Annotator, require
from inversescope.features.annotators.speech import TAGS
from inversescope.features.functions import (
    FUNCTIONS,
    GROUP,
    LIMIT,
    NAMES,
    NEEDED,
    NUMBER,
    PATTERN,
    PHRASE,
    TAG,
    TEXT,
    TOPIC,
    YES_NO,
    Pattern,
    Value,
)
from inversescope.features.word_splitting import split

LONGEST, DEEPEST, LARGEST = 500, 20, 1_000_000  # characters, parts within parts, a written number
UNDECIDED = "undecided"

_ALLOWED = (
    f"{', '.join(NAMES)}; {', '.join(f'{name}()' for name in FUNCTIONS)}; texts, whole numbers, True, False, None; "
    "and, or, not, == != < <= > >=, in (..), + - * // %, A if C else B"
)


class Expression:
    """A parsed feature, which gives the label of any text.

    Attributes:
        source: the expression's text.
        kind: of its value: `yes or no`, `number` or `text`.
        annotators: the libraries beyond InverseScope's own that its functions use.
    """

    def __init__(self, node: _Part, reader: _Reader):
        self.source = reader.source
        self.kind = node.kind
        self.annotators = tuple(dict.fromkeys(reader.annotators))
        self._value = node.value
        self._patterns = reader.patterns

    def label(self, text: str) -> str | None:
        """The label of a text: "yes" or "no", a number, a text; None where undecided.

        Raises:
            UserError: the model of an annotator cannot be loaded; nothing else, ever.
        """
        return as_label(self._value(text))

    @property
    def timeouts(self) -> int:
        """Number of texts left undecided because a regular expression took too long."""
        return sum(pattern.timeouts for pattern in self._patterns)


def as_label(value: Value) -> str | None:
    """A value as a label: "yes" or "no", a number, a text; None where undecided, as a blank text is."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value if value.strip() else None
    return None if value is None else str(value)


def parse(source: str) -> Expression:
    """Read an expression.

    Raises:
        UserError: it is too long or too deep, not Python, holds something that is not in the language, or a word that
            needs what is not installed.
    """
    source = source.strip()
    if len(source) > LONGEST:
        raise UserError("the expression is too long", given=f"{len(source)} characters", allowed=f"up to {LONGEST}")
    try:
        with warnings.catch_warnings(action="ignore"):  # "\d" for r"\d" is well understood
            tree = ast.parse(source, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        message = error.msg if isinstance(error, SyntaxError) else str(error) or "too deep"
        raise UserError("the expression cannot be read", given=f"{source!r}: {message}", allowed=_ALLOWED) from error
    reader = _Reader(source)
    value = reader.read(tree.body)
    if value.kind == UNDECIDED:
        raise UserError("the expression is always undecided", given=source)
    return Expression(value, reader)


@dataclass(frozen=True)
class _Part:
    """A part of an expression: the kind of its value, and its function of a text."""

    kind: str
    value: logic.Evaluate
    literal: bool = False


_NOTHING = _Part(UNDECIDED, lambda text: None, literal=True)


class _Reader:
    """Turns the parts of one expression, inside out, into a function of a text."""

    def __init__(self, source: str):
        self.source = source
        self.patterns: list[Pattern] = []
        self.annotators: list[Annotator] = []
        self.depth = 0

    def read(self, node: ast.expr) -> _Part:
        """A part of any kind."""
        readers: dict[type, Callable] = {
            ast.Constant: self._constant,
            ast.Name: self._name,
            ast.Call: self._call,
            ast.Compare: self._compare,
            ast.BoolOp: self._logic,
            ast.UnaryOp: self._unary,
            ast.BinOp: self._arithmetic,
            ast.IfExp: self._choice,
        }
        if type(node) not in readers:
            raise self._error(node, f"{type(node).__name__} is not in the language of features")
        self.depth += 1
        if self.depth > DEEPEST:
            raise self._error(node, "the expression is too deep", f"up to {DEEPEST} parts within each other")
        read = readers[type(node)](node)
        self.depth -= 1
        return read

    def _of(self, kind: str, node: ast.expr) -> _Part:
        """A part that must be of this kind, or undecided."""
        read = self.read(node)
        if read.kind not in (kind, UNDECIDED):
            raise self._error(node, f"this is a {read.kind}, and a {kind} is needed here", kind)
        return read

    def _constant(self, node: ast.Constant) -> _Part:
        value = node.value
        if value is None:
            return _NOTHING
        if isinstance(value, bool):
            return _Part(YES_NO, lambda text: value, literal=True)
        if isinstance(value, int):
            if value > LARGEST:
                raise self._error(node, "the number is too large", f"up to {LARGEST}")
            return _Part(NUMBER, lambda text: value, literal=True)
        if not isinstance(value, str) or not _encodable(value):
            raise self._error(node, "this constant is not in the language of features")
        return _Part(TEXT, lambda text: value, literal=True)

    def _name(self, node: ast.Name) -> _Part:
        if node.id not in NAMES:
            hint = f"; {node.id}(..) is a function" if node.id in FUNCTIONS else ""
            raise self._error(node, f"there is no such name{hint}", ", ".join(NAMES))
        self._need(node.id)
        return _Part(*NAMES[node.id])

    def _call(self, node: ast.Call) -> _Part:
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
            raise self._error(node, "there is no such function", ", ".join(FUNCTIONS))
        name, function = node.func.id, FUNCTIONS[node.func.id]
        self._need(name)
        takes = [*function.takes, *([TEXT] if function.of_text else [])]
        given = list(node.args)
        several = takes[-1] in (LIMIT, TOPIC)
        takes += takes[-1:] * (len(given) - len(takes)) if several else []
        fewest = len(function.takes) + (TOPIC in takes)
        if node.keywords or not fewest <= len(given) <= len(takes) or any(isinstance(a, ast.Starred) for a in given):
            optional = "[, text]" if function.of_text else ", .." if several else ""
            raise self._error(node, "wrong arguments", f"{name}({', '.join(function.takes)}{optional})")
        arguments = [self._argument(kind, argument) for kind, argument in zip(takes, given, strict=False)]
        limits = [int(str(argument(""))) for kind, argument in zip(takes, arguments, strict=False) if kind == LIMIT]
        if any(low >= high for low, high in itertools.pairwise(limits)):
            raise self._error(node, "the limits do not rise")
        if function.of_text and len(given) == fewest:
            arguments.append(lambda text: text)
        return _Part(function.kind, logic.applied(function.compute, arguments))

    def _argument(self, kind: str, node: ast.expr) -> Callable[[str], object]:
        """An argument of a function: what it is for a text."""
        if kind in (PATTERN, GROUP):
            return self._pattern(kind, node)
        argument = self._of({PHRASE: TEXT, LIMIT: NUMBER, TAG: TEXT, TOPIC: TEXT}.get(kind, kind), node)
        if kind == LIMIT and (not argument.literal or argument.kind == UNDECIDED):
            raise self._error(node, "the limits are written numbers")
        if kind == PHRASE and argument.literal and not split(str(argument.value(""))):
            raise self._error(node, "there is no word in this", "words; contains(..) finds any other text")
        if kind == TAG and (not argument.literal or argument.value("") not in TAGS):
            raise self._error(node, "this is no part of speech", ", ".join(TAGS))
        if kind == TOPIC and (not argument.literal or not split(str(argument.value("") or ""))):
            raise self._error(node, "topics are written texts, with words in them")
        return argument.value

    def _need(self, word: str) -> None:
        """A word of the language may need a library that is not there."""
        if word in NEEDED:
            require(NEEDED[word])
            self.annotators.append(NEEDED[word])

    def _pattern(self, kind: str, node: ast.expr) -> Callable[[str], Pattern]:
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            raise self._error(node, f"a written {kind} is needed here")
        pattern = Pattern(node.value)
        if kind == GROUP and pattern.groups != 1:
            raise self._error(node, f"the regular expression has {pattern.groups} groups", "one: what the label is")
        self.patterns.append(pattern)
        return lambda text: pattern

    def _compare(self, node: ast.Compare) -> _Part:
        sides = [node.left, *node.comparators]
        pairs = zip(sides, node.ops, sides[1:], strict=False)
        return _Part(YES_NO, logic.joined([self._comparison(node, *pair) for pair in pairs], ends_on=False))

    def _comparison(self, node: ast.Compare, left: ast.expr, sign: ast.cmpop, right: ast.expr) -> logic.Evaluate:
        if type(sign) in logic.MEMBER:
            return self._membership(left, right, logic.MEMBER[type(sign)])
        if type(sign) in logic.ORDER:
            return logic.applied(logic.ORDER[type(sign)], [self._of(NUMBER, side).value for side in (left, right)])
        if type(sign) not in logic.SAME:
            raise self._error(node, "this comparison is not in the language of features", "== != < <= > >= in, not in")
        first = self.read(left)
        second = self._of(first.kind, right) if first.kind != UNDECIDED else self.read(right)
        return logic.applied(logic.SAME[type(sign)], [first.value, second.value])

    def _membership(self, left: ast.expr, right: ast.expr, wanted: bool) -> logic.Evaluate:
        tested = self.read(left)
        if not isinstance(right, ast.Tuple | ast.List | ast.Set):
            raise self._error(right, "`in` takes a list of values", '("a", "b"); contains(..) finds a text in a text')
        members = [self._of(tested.kind, element) for element in right.elts]
        if not all(member.literal for member in members):
            raise self._error(right, "the values in a list are written out")
        values = {member.value("") for member in members}
        return logic.applied(lambda value: (value in values) == wanted, [tested.value])

    def _logic(self, node: ast.BoolOp) -> _Part:
        parts = [self._of(YES_NO, operand).value for operand in node.values]
        return _Part(YES_NO, logic.joined(parts, ends_on=isinstance(node.op, ast.Or)))

    def _unary(self, node: ast.UnaryOp) -> _Part:
        if isinstance(node.op, ast.Not):
            return _Part(YES_NO, logic.applied(operator.not_, [self._of(YES_NO, node.operand).value]))
        if isinstance(node.op, ast.USub):
            operand = self._of(NUMBER, node.operand)
            return _Part(NUMBER, logic.applied(lambda number: -number, [operand.value]), operand.literal)
        raise self._error(node, "this sign is not in the language of features")

    def _arithmetic(self, node: ast.BinOp) -> _Part:
        signs = logic.ARITHMETIC | logic.DIVISION
        if type(node.op) not in signs:
            raise self._error(node, "this sign is not in the language of features", "+ - * // %")
        sides = [self._of(NUMBER, side).value for side in (node.left, node.right)]
        compute = signs[type(node.op)]
        if type(node.op) in logic.DIVISION:
            return _Part(NUMBER, logic.applied(lambda a, b: compute(a, b) if b else None, sides))
        return _Part(NUMBER, logic.applied(compute, sides))

    def _choice(self, node: ast.IfExp) -> _Part:
        condition, yes, no = self._of(YES_NO, node.test), self.read(node.body), self.read(node.orelse)
        if UNDECIDED not in (yes.kind, no.kind) and yes.kind != no.kind:
            raise self._error(node, f"one side is a {yes.kind} and the other a {no.kind}", "both of one kind, or None")

        def choose(text: str) -> Value:
            decided = condition.value(text)
            return None if decided is None else (yes if decided else no).value(text)

        return _Part(no.kind if yes.kind == UNDECIDED else yes.kind, choose)

    def _error(self, node: ast.AST, problem: str, allowed: str = _ALLOWED) -> UserError:
        """Error about a part, beside it."""
        where = ast.get_source_segment(self.source, node) or self.source
        given = where if where == self.source else f"{where}   in   {self.source}"
        return UserError(problem, given=given, allowed=allowed)


def _encodable(text: str) -> bool:
    """True if a record can hold it: a lone surrogate has no UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
