"""Text to tokens and back, tokens for people to read, and conversations as the model expects them."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Literal

from inversescope.bounds import CHARACTERS, limited
from inversescope.errors import UserError
from inversescope.position import Messages
from inversescope.verdicts.wording import count

Encode = Callable[[str], Sequence[int]]
Decode = Callable[[Sequence[int]], str]
Prefix = Literal["auto", "none"] | Sequence[int]  # the tokens that start every input

# Control characters, all but tab and newline; and bytes that make no character, as "surrogateescape" leaves them.
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\udc80-\udcff]")
# Signs that turn the direction of what follows them, beyond the text itself.
_TURNING = re.compile(r"[\u202a-\u202e\u2066-\u2069]")
DATE = date(2024, 7, 26)  # today, for a chat template that writes it: the same input has the same tokens on every day
_DIRECTIVES = "aAbBdeHIjmMpSyYcxXDFT"  # of strftime
_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


def first_tokens(tokenizer: Any, prefix: Prefix, tokens: int) -> tuple[int, ...]:
    """The tokens that start every input.

    Args:
        tokenizer: a Hugging Face tokenizer; anything else, such as the error of one that could not be read: none.
        prefix: "auto", those that the tokenizer itself puts before a text, often none or one; "none"; or their ids.
        tokens: the number of tokens that the model knows.

    Raises:
        UserError: it has no such token.
    """
    if prefix == "auto":
        return _own_first_tokens(tokenizer) if hasattr(tokenizer, "encode") else ()
    first = () if prefix == "none" else tuple(map(int, prefix))
    if any(token >= tokens for token in first):
        given = f"subject.prefix = {list(first)}"
        raise UserError("the model has no such token", given=given, allowed=f"0 to {tokens - 1}")
    return first


def _own_first_tokens(tokenizer: Any) -> tuple[int, ...]:
    bare, whole = (tokenizer.encode("a", add_special_tokens=added) for added in (False, True))
    starts = (start for start in range(len(whole)) if bare and whole[start : start + len(bare)] == bare)
    return tuple(whole[: next(starts, 0)])


class Tokenizer:
    """Made from a pair of functions. Neither adds a token by itself.

    Attributes:
        date: today, for a chat template that writes it.
    """

    def __init__(self, encode: Encode, decode: Decode):
        self.encode = encode
        self.decode = decode
        self.date = DATE

    def fingerprints(self) -> dict[str, str]:
        """Hashes of the tokenizer and of the chat template, as far as there are such."""
        return {}

    def show(self, tokens: Sequence[int]) -> str:
        """Text for people: control characters are named in ‹›."""
        return _named(self.decode(tokens))

    def converse(self, messages: Messages) -> str:
        """A conversation as the model's chat template writes it, on to where the assistant is to answer.

        Raises:
            UserError: there is no chat template, or it refuses the conversation.
        """
        raise UserError(
            "this subject has no chat template: it reads texts only",
            given=f"a conversation of {count(len(messages), 'message')}",
            remedy="a text, or an instruction model as the subject",
        )


class PretrainedTokenizer(Tokenizer):
    """One of Hugging Face: special tokens come back as text, too, and are shown as ‹|endoftext|›."""

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        self._added = {number: token.content for number, token in tokenizer.added_tokens_decoder.items()}
        special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
        self._special = special | set(tokenizer.all_special_ids)
        decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
        self._bytes = _byte_letters() if decoder and b"ByteLevel" in decoder.__getstate__() else None
        super().__init__(
            lambda text: tokenizer.encode(text, add_special_tokens=False),
            lambda tokens: tokenizer.decode(tokens, clean_up_tokenization_spaces=False),
        )

    def fingerprints(self) -> dict[str, str]:
        found = {"tokenizer": _hash(_content(self._tokenizer))}
        template = self._tokenizer.chat_template
        return found | ({"chat template": _hash(template)} if template else {})

    def show(self, tokens: Sequence[int]) -> str:
        """Text for people: special tokens, bytes that make no character and control characters are named in ‹›."""
        parts = []
        for special, run in itertools.groupby(tokens, self._special.__contains__):
            if special:
                names = self._tokenizer.convert_ids_to_tokens(list(run))
                parts += [f"‹{name.removeprefix('<').removesuffix('>')}›" for name in names]
            else:
                parts.append(self._show_run(list(run)))
        return "".join(parts)

    def converse(self, messages: Messages) -> str:
        if not self._tokenizer.chat_template:
            return super().converse(messages)
        answers = messages[-1]["role"] != "assistant"
        try:
            with limited():
                text = self._tokenizer.apply_chat_template(
                    list(messages),
                    tokenize=False,
                    add_generation_prompt=answers,
                    clean_up_tokenization_spaces=False,
                    chat_template=_on_day(self._tokenizer.get_chat_template(), self.date),
                )
        except Exception as error:  # a template is a program, and may raise anything
            given = " ".join(f"{type(error).__name__}: {error}".split())
            raise UserError("the subject's chat template refuses this conversation", given=given) from error
        if len(text) > CHARACTERS:
            raise UserError(
                "the subject's chat template makes too much of this conversation",
                given=f"{len(text):,} characters",
                allowed=f"up to {CHARACTERS:,}",
            )
        return text

    def _show_run(self, tokens: list[int]) -> str:
        """Tokens that are not special. U+FFFD in their text stands for bytes that make no character."""
        text = self.decode(tokens)
        if "\N{REPLACEMENT CHARACTER}" in text:
            text = b"".join(map(self._bytes_of, tokens)).decode("utf-8", "surrogateescape")
        return _named(text)

    def _bytes_of(self, token: int) -> bytes:
        if token in self._added:
            return self._added[token].encode()
        string: str = self._tokenizer.convert_ids_to_tokens(token)
        if self._bytes is not None:
            return bytes(self._bytes[letter] for letter in string)
        if match := _BYTE_TOKEN.fullmatch(string):
            return bytes([int(match[1], 16)])
        return string.replace("\u2581", " ").encode()  # SentencePiece's space


def _on_day(template: str, day: date) -> str:
    """A chat template in which `strftime_now` is a macro that writes this day; transformers' own writes today."""
    if "strftime_now" not in template:
        return template
    written = {f"%{directive}": day.strftime(f"%{directive}") for directive in _DIRECTIVES}
    written |= {f"%-{directive}": written[f"%{directive}"].lstrip("0") or "0" for directive in "dmHIMSj"}
    replaced = "".join(f"|replace({directive!r}, {value!r})" for directive, value in written.items())
    return f"{{%- macro strftime_now(format) -%}}{{{{ format{replaced} }}}}{{%- endmacro %}}{{{{ '' }}}}{template}"


def _content(tokenizer: Any) -> Any:
    """All that decides the tokens of a text; not how inputs of a batch are cut and filled up, which calls change."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return [type(tokenizer).__name__, sorted(tokenizer.get_vocab().items())]
    content = json.loads(backend.to_str())
    return {name: part for name, part in content.items() if name not in ("truncation", "padding")}


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _named(text: str) -> str:
    named = _UNSEEN.sub(lambda match: f"‹0x{ord(match[0]) & 0xFF:02X}›", text)
    return _TURNING.sub(lambda match: f"‹U+{ord(match[0]):04X}›", named)


def _byte_letters() -> dict[str, int]:
    """The letter that stands for each byte in a byte-level vocabulary: itself, or if that has no glyph one above."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(0x100 + i): byte for i, byte in enumerate(hidden)}
