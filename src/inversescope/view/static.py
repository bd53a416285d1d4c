"""Files of the page: the shell, and the elements that other hosts share. Their address holds a hash of them all."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
SHELL = "index.html"
FOLDERS = ("charts/elements", "view/assets", "charts/vendored")


@cache
def contents() -> dict[str, bytes]:
    """Every file of the page by its name."""
    found: dict[str, bytes] = {}
    for folder in FOLDERS:
        place = resources.files("inversescope").joinpath(folder)
        if place.is_dir():
            for item in place.iterdir():
                if item.is_file() and (item.name == SHELL or item.name[item.name.rfind(".") :] in KINDS):
                    assert item.name not in found, f"two files of the page are called {item.name}"
                    found[item.name] = item.read_bytes()
    return found


@cache
def version() -> str:
    """Hash of all the files: a page never meets a script of another version."""
    everything = hashlib.sha256()
    for name, content in sorted(contents().items()):
        everything.update(name.encode() + b"\0" + content)
    return everything.hexdigest()[:16]


def shell(base: str) -> str:
    """The page itself, whose files lie at `base`."""
    return contents()[SHELL].decode().replace("{{base}}", base)


def kind(name: str) -> str:
    """Media type of a file."""
    return KINDS[name[name.rfind(".") :]] + "; charset=utf-8"
