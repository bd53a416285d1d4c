"""Requests with their replies, kept on disk: a request with a reply is never sent again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from inversescope import files
from inversescope.propose.endpoint.budget import estimate_tokens

ROLE_TOKENS = 16  # of a chat template around two messages, about


@dataclass(frozen=True)
class Request:
    """One request: `instructions` are ours, `data` is JSON with texts of others; `reply_tokens` bounds the reply."""

    instructions: str
    data: str
    reply_tokens: int

    def body(self, model: str) -> dict[str, Any]:
        """Body of the HTTP request: no randomness where the server allows that."""
        messages = [{"role": "system", "content": self.instructions}, {"role": "user", "content": self.data}]
        return {"model": model, "messages": messages, "temperature": 0, "seed": 0, "max_tokens": self.reply_tokens}

    @cached_property
    def tokens(self) -> int:
        """The most that it costs, in and out, about."""
        return estimate_tokens(self.instructions + self.data) + ROLE_TOKENS + self.reply_tokens


@dataclass(frozen=True)
class Reply:
    """Reply to a request. `text` is null where there was none; `problem` is the reason.

    `attempts` counts the requests that it took; tokens are the server's count, or estimated where it gave none.
    """

    text: str | None
    problem: str | None
    attempts: int
    prompt_tokens: int
    reply_tokens: int
    estimated: bool


class Replies:
    """A folder of replies, each under the hash of its address and request."""

    def __init__(self, folder: Path):
        self.folder = folder

    def key(self, base_url: str, body: dict[str, Any]) -> str:
        """The hash of a request, SHA-256 in hexadecimal."""
        return hashlib.sha256(json.dumps([base_url, body], sort_keys=True).encode()).hexdigest()

    def get(self, key: str) -> Reply | None:
        """The reply to a request; None if it was never answered."""
        path = self.folder / f"{key}.json"
        return _read(path) if path.exists() else None

    def put(self, key: str, body: dict[str, Any], reply: Reply) -> None:
        """Keep a reply beside its request."""
        files.write_sealed(self.folder / f"{key}.json", {"request": body, "reply": asdict(reply)})

    def all(self) -> list[Reply]:
        """Every reply in the folder."""
        return [_read(path) for path in sorted(self.folder.glob("*.json"))]


def _read(path: Path) -> Reply:
    return Reply(**files.read_sealed(path, f"delete {path}; its request is then sent again")["reply"])
