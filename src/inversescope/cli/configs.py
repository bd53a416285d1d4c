"""Configs: those that ship with the package, by name, and files."""

from __future__ import annotations

from pathlib import Path

from inversescope.bounds import read_text
from inversescope.errors import UserError


def shipped() -> dict[str, str]:
    """The configs that ship with the package, by name."""
    from importlib.resources import files

    paths = sorted(files("inversescope.configs").iterdir(), key=lambda path: path.name)
    return {path.name.removesuffix(".toml"): path.read_text("utf-8") for path in paths if path.name.endswith(".toml")}


def read_config(path: Path) -> str:
    """The text of a config: a file, or one that ships with the package, by its name. It is parsed where it is used."""
    configs = shipped()
    if str(path) in configs and not path.is_file():
        return configs[str(path)]
    if not path.exists() and path.suffix != ".toml":
        raise UserError("there is no such config", given=path, allowed=f"a TOML file, or one of: {', '.join(configs)}")
    return read_text(path, "config")


def start(path: Path) -> Path:
    """The folder at which relative paths of a config start: its own, or for one that ships the working directory."""
    return path.absolute().parent if path.is_file() else Path.cwd()
