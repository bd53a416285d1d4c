"""A subject that is no more than a tokenizer: words with their leading space, long ones in two tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

PREFIX_ID = 0
LONGEST = 8  # letters of the longest word that is one token
QUOTE = '"'  # after it an answer starts without a space


class WordSubject:
    """Encodes any text without loss. A token's id is the order in which it was first seen."""

    prefix = (PREFIX_ID,)
    untrained = False

    def __init__(self) -> None:
        self.strings = ["<prefix>"]
        self.ids = {"<prefix>": PREFIX_ID}

    def encode(self, text: str) -> list[int]:
        pieces = re.findall(rf" ?\w{{1,{LONGEST}}}|[^\w\s]|\s", text)
        return [PREFIX_ID, *(self.token(piece) for piece in pieces)]

    def decode(self, tokens: Sequence[int]) -> str:
        own = tokens[1:] if list(tokens[:1]) == [PREFIX_ID] else tokens
        return "".join(
            self.strings[token] if token < len(self.strings) else "\N{REPLACEMENT CHARACTER}" for token in own
        )

    def converse(self, messages: Sequence[Any]) -> str:
        turns = "".join(f"{message['role']}: {message['content'].strip()}\n" for message in messages)
        return turns if messages[-1]["role"] == "assistant" else f"{turns}assistant:"

    def token(self, piece: str) -> int:
        if piece not in self.ids:
            self.ids[piece] = len(self.strings)
            self.strings.append(piece)
        return self.ids[piece]

    def capture(self, inputs: Sequence[Sequence[int]], sites: Sequence[Any], *, logits: bool = False) -> Any:
        raise AssertionError("this subject is only a tokenizer")


class AnsweringSubject(WordSubject):
    """Answers a prompt with the name that is named once, except every `wrong_every`-th prompt."""

    def __init__(self, wrong_every: int) -> None:
        super().__init__()
        self.wrong_every = wrong_every
        self.seen: list[str] = []

    def capture(self, inputs: Sequence[Sequence[int]], sites: Sequence[Any], *, logits: bool = False) -> Any:
        assert logits and not sites
        values = np.zeros((len(inputs), len(self.strings)))
        for row, tokens in enumerate(inputs):
            text = self.decode(tokens)
            self.seen.append(text)
            words = re.findall(r"(?<= )[A-Z]\w+", text)
            names = [word for word in words if word != "Afterwards"]
            once = next(name for name in names if names.count(name) == 1)
            twice = next(name for name in names if names.count(name) == 2)
            answer = twice if row % self.wrong_every == 0 else once
            values[row, self.token(f" {answer}")] = 1.0
        return SimpleNamespace(logits=values)


class KnowingSubject(WordSubject):
    """Gives the answer that it has for a prompt, token by token, and `?` to any other text."""

    def __init__(self, answers: dict[str, str]) -> None:
        super().__init__()
        self.goes_on = {
            f"{prompt}{'' if prompt.endswith(QUOTE) else ' '}{answer}" for prompt, answer in answers.items()
        }

    def capture(self, inputs: Sequence[Sequence[int]], sites: Sequence[Any], *, logits: bool = False) -> Any:
        assert logits and not sites
        known = [self.encode(text) for text in self.goes_on]
        nexts = [
            next((text[len(tokens)] for text in known if text[: len(tokens)] == list(tokens) != text), self.token("?"))
            for tokens in inputs
        ]
        values = np.zeros((len(inputs), len(self.strings)))
        values[np.arange(len(inputs)), nexts] = 1.0
        return SimpleNamespace(logits=values)
