"""Position of a text or a conversation that is read: the input is what comes up to there, that token included."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from inversescope.errors import UserError

Messages = Sequence[Any]  # {"role": ..., "content": ...} each; `cut` refuses anything else
Position = int | str
LAST = "last"
_TURN = re.compile(r"([^\s:]+):(-?\d{1,9})")
_INDEX = re.compile(r"-?[0-9]{1,9}")
_MARK = "\ue000\ue001\ue000"  # stands for a message's content, to find where a chat template puts it
_LISTED = 10  # occurrences named in a message
_AROUND = 16  # characters shown on each side of one


@runtime_checkable
class Reader(Protocol):
    """Subject's part in finding a position."""

    @property
    def prefix(self) -> tuple[int, ...]:
        """The tokens that start every input."""
        ...

    def encode(self, text: str) -> list[int]:
        """Token ids, prefix included."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Text, prefix dropped."""
        ...

    def converse(self, messages: Messages) -> str:
        """A conversation as the chat template writes it."""
        ...


def cut(subject: Reader, source: str | Messages, position: Position = LAST) -> tuple[int, ...]:
    """The input that is read at a position of a text or of a conversation; prefix included.

    Args:
        source: a text, or messages: `[{"role": "user", "content": "..."}, ...]`. A content may be a list of parts,
            `{"type": "text", "text": "..."}` each, whose texts are joined.
        position: "last"; the index of a token, from 0 after the prefix, or from -1 at the end; in a conversation a role
            and its turn, such as "user:-1" (the last token of that message); or a piece of the text, which is read at
            the token in which it ends.

    Raises:
        UserError: there is no such position, or a piece of the text names several; a message is not one.
    """
    source = _checked(source)
    text = source if isinstance(source, str) else subject.converse(source)
    tokens = subject.encode(text)
    if len(tokens) == len(subject.prefix):
        raise UserError("the text is empty", given=repr(text))
    turn = None if isinstance(source, str) or isinstance(position, int) else _TURN.fullmatch(position)
    if turn and turn[1] not in _roles(source) and turn[0] in subject.decode(tokens):
        turn = None  # a time of day, such as 12:30
    if turn:
        index = _ending(subject, tokens, _end_of_turn(subject, source, text, turn[1], int(turn[2])))
    elif isinstance(position, int) or position == LAST:
        index = _counted(len(tokens) - len(subject.prefix), -1 if position == LAST else int(position))
    else:
        index = _of_piece(subject, tokens, position)
    return tuple(tokens[: len(subject.prefix) + index + 1])


def typed(subject: Reader, source: str | Messages, position: str) -> tuple[Position, bool]:
    """A position as it is typed, where every number is text: the index of a token, else a piece of the text; and
    whether an index is a piece of the text as well.

    Raises:
        UserError: a message of the conversation is not one.
    """
    if not _INDEX.fullmatch(position):
        return position, False
    source = _checked(source)
    tokens = subject.encode(source if isinstance(source, str) else subject.converse(source))
    length, is_piece = len(tokens) - len(subject.prefix), position in subject.decode(tokens)
    if -length <= int(position) < length or not is_piece:
        return int(position), is_piece
    return position, False


def keep_last(tokens: tuple[int, ...], prefix: tuple[int, ...], limit: int | None) -> tuple[int, ...]:
    """The prefix and what stands nearest to the position that is read, `limit` tokens together (None: all)."""
    if limit is None or len(tokens) <= limit:
        return tokens
    assert limit > len(prefix)
    return (*prefix, *tokens[len(tokens) - limit + len(prefix) :])


def require_whole(text: str) -> None:
    """Check that every character of a text is whole: half of one, as `"\\ud83d"` in JSON, is none.

    Raises:
        UserError: a character is not.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        around = text[max(0, error.start - _AROUND) : error.end + _AROUND]
        raise UserError(
            "the text holds half a character (a surrogate without its pair)",
            given=f"{around!a}, character {error.start}",
            remedy="save the text as UTF-8 anew, with whole characters",
        ) from error


def inputs(text: Any) -> tuple[list[Any], bool]:
    """The texts or conversations that are given, and whether they are several: a list of texts or of conversations.

    Raises:
        UserError: it is neither a text nor a conversation, nor a list of them.
    """
    if isinstance(text, str) or not isinstance(text, Iterable) or isinstance(text, Mapping):
        return [text], False
    several = list(text)
    kinds = {str if isinstance(each, str) else dict if isinstance(each, Mapping) else list for each in several}
    if kinds == {dict} or not several:
        return [several], False
    return several, True


def _checked(source: str | Messages) -> str | list[dict[str, Any]]:
    """A text of whole characters, or a conversation of them."""
    source = source if isinstance(source, str) else require_messages(source)
    for text in [source] if isinstance(source, str) else [message["content"] for message in source]:
        require_whole(text)
    return source


def require_messages(messages: Any) -> list[dict[str, Any]]:
    """The messages, each with its content as one text.

    Raises:
        UserError: they are no conversation.
    """
    allowed = '[{"role": "user", "content": "..."}, ...]'
    if not isinstance(messages, Sequence) or isinstance(messages, str):
        raise UserError("this is neither a text nor a conversation", given=repr(messages)[:200], allowed=allowed)
    if not messages:
        raise UserError("the conversation has no message", allowed=allowed)
    checked = []
    for number, message in enumerate(messages):
        role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
        if isinstance(content, list):
            content = _joined(content)
        if not isinstance(role, str) or not isinstance(content, str):
            raise UserError(
                "a message of the conversation is not one",
                given=f"message {number}: {message!r}"[:200],
                allowed=f'{allowed}, or for a content a list of parts {{"type": "text", "text": "..."}}',
            )
        checked.append({**message, "content": content})
    return checked


def _joined(parts: list[Any]) -> str | None:
    """The texts of the parts of a message, one behind the other; None where a part is no text."""
    texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in parts]
    return None if None in texts or not all(isinstance(text, str) for text in texts) else "".join(map(str, texts))


def _counted(length: int, index: int) -> int:
    if not -length <= index < length:
        raise UserError(
            "this position lies outside the text",
            given=index,
            allowed=f"0 to {length - 1}, or -{length} to -1 from the end (tokens, the prefix not counted)",
        )
    return index % length


def _of_piece(subject: Reader, tokens: Sequence[int], piece: str) -> int:
    """The index of the token in which a piece of the text ends."""
    text = subject.decode(tokens)
    starts = list(_occurrences(text, piece)) if piece else []
    if not starts:
        raise UserError(
            "the text has no such position",
            given=repr(piece),
            allowed="last, an index, a piece of the text, or ROLE:TURN in a conversation",
        )
    if len(starts) > 1:
        places = [
            f"{_ending(subject, tokens, start + len(piece))} in "
            f"{text[max(0, start - _AROUND) : start + len(piece) + _AROUND]!r}"
            for start in starts[:_LISTED]
        ]
        more = f" and {len(starts) - _LISTED} more" if len(starts) > _LISTED else ""
        raise UserError(
            f"this piece of the text occurs {len(starts)} times",
            given=repr(piece),
            allowed="; ".join(places) + more,
            remedy="one of these indices as the position, or a longer piece that occurs once",
        )
    return _ending(subject, tokens, starts[0] + len(piece))


def _occurrences(text: str, piece: str) -> Iterator[int]:
    start = text.find(piece)
    while start >= 0:
        yield start
        start = text.find(piece, start + 1)


def _ending(subject: Reader, tokens: Sequence[int], end: int) -> int:
    """The index of the token with which the first `end` characters of the text are complete."""
    text, first = subject.decode(tokens), len(subject.prefix)

    def complete(count: int) -> int:  # a character of which bytes are missing decodes to another one
        some = subject.decode(tokens[: first + count])
        return next((index for index, (a, b) in enumerate(zip(some, text, strict=False)) if a != b), len(some))

    return bisect_left(range(1, len(tokens) - first + 1), end, key=complete)


def _roles(messages: Messages) -> list[str]:
    return list(dict.fromkeys(message["role"] for message in messages))


def _end_of_turn(subject: Reader, messages: Messages, text: str, role: str, turn: int) -> int:
    """End of a message's content in the decoded text of the conversation, in characters."""
    turns = [number for number, message in enumerate(messages) if message["role"] == role]
    if not turns:
        allowed = f"{', '.join(_roles(messages))}, or a piece of the text"
        raise UserError("no message has this role", given=f"{role}:{turn}", allowed=allowed)
    if not -len(turns) <= turn < len(turns):
        allowed = f"{role}:0 to {role}:{len(turns) - 1}, or {role}:-{len(turns)} to {role}:-1"
        raise UserError("this role has no such turn", given=f"{role}:{turn}", allowed=allowed)
    number = turns[turn]
    marked = [*messages[:number], {**messages[number], "content": _MARK}, *messages[number + 1 :]]
    before, _, after = subject.converse(marked).partition(_MARK)
    decoded = subject.decode(subject.encode(text))
    as_it_stands = text.startswith(before) and text.endswith(after) and len(text) > len(before + after)
    if not as_it_stands or not decoded.endswith(after):
        raise UserError(
            "this message is empty, or the chat template does not write it as it stands",
            given=f"{role}:{turn}: {messages[number]['content']!r}"[:200],
            remedy="an index or a piece of the text as the position",
        )
    return len(decoded) - len(after)
