"""Address, name and key of the language model, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from inversescope.errors import UserError

BASE_URL = ("INVERSESCOPE_BASE_URL", "OPENAI_BASE_URL")
MODEL = ("INVERSESCOPE_MODEL",)
KEY = ("INVERSESCOPE_API_KEY", "OPENAI_API_KEY")
EXAMPLE = (
    f"export {BASE_URL[0]}=http://127.0.0.1:8080/v1 {MODEL[0]}=NAME, and the key, where one is needed, in {KEY[0]}"
)


@dataclass(frozen=True)
class Address:
    """A chat endpoint: `base_url` up to and without `/chat/completions`, the name of the `model`, and the `key`.

    The key is never shown, and never written to disk.
    """

    base_url: str
    model: str
    key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.base_url)
            _ = parts.port  # read, for it is checked no earlier
            (parts.hostname or "").encode("idna")
        except ValueError:
            parts = urlsplit("")
        plain = self.base_url.isprintable() and not parts.query and not parts.fragment
        if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
            allowed = "http:// or https://, a host, and a path such as /v1"
            raise UserError("the endpoint's address cannot be used", given=self.base_url, allowed=allowed)
        if parts.username is not None or parts.password is not None:
            shown = self.base_url.replace(parts.netloc, f"...@{parts.hostname}")
            raise UserError(
                "the endpoint's address holds a name or a password, and addresses are written down",
                given=shown,
                remedy=f"the key in {KEY[0]}",
            )
        if not (self.key.isascii() and self.key.isprintable()):
            given = f"{len(self.key)} characters, not all of them plain ASCII"
            raise UserError(f"the key in {' or '.join(KEY)} cannot be sent", given=given, remedy="copy it once more")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The address that the environment names; a local server needs no key.

        Raises:
            UserError: the address or the model is not named, or the address is none.
        """
        values = {names: next((environment[name] for name in names if environment.get(name)), "") for names in _NAMES}
        missing = [" or ".join(names) for names in (BASE_URL, MODEL) if not values[names]]
        if missing:
            problem = "no language model is set, and this command asks one (every other command works without)"
            raise UserError(problem, given=f"not set: {', '.join(missing)}", remedy=EXAMPLE)
        return cls(values[BASE_URL].strip().rstrip("/"), values[MODEL].strip(), values[KEY].strip())

    def hide(self, text: str) -> str:
        """The text without the key in it."""
        return text.replace(self.key, "***") if self.key else text


_NAMES = (BASE_URL, MODEL, KEY)
