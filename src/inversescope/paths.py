"""Paths in a config: relative ones start at the folder of the config, `~` is the home folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

FOLDER = "folder"  # key of the folder in the context of a validation


def from_folder(path: Path | str, folder: Path | None) -> Path:
    """The whole path; where no folder is known, as it is but for `~`.

    Raises:
        ValueError: there is nothing at the path, but there is if it starts at the working directory.
    """
    path = _at_home(path)
    if folder is None or path.is_absolute():
        return path
    whole, here = folder / path, Path.cwd() / path
    if not os.path.exists(whole) and os.path.exists(here):  # unlike pathlib's, of any text
        raise ValueError(
            f"relative paths start at the folder of the config, and there is no {whole} "
            f"(allowed: {os.path.relpath(here, folder)})"
        )
    return Path(os.path.normpath(whole))


def name_or_folder(name: str, folder: Path | None) -> str:
    """A name as it is; the whole path where a folder of this name is there, or it can only be a path."""
    path = _at_home(name)
    if path.is_absolute() or name.startswith("."):
        return str(from_folder(name, folder))
    if folder is None or not (os.path.isdir(path) or os.path.isdir(folder / path)):
        return name
    return str(from_folder(name, folder))


def _at_home(path: Path | str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"there is no home folder for {path}") from error


def folder_of(info: Any) -> Path | None:
    """The folder of the config that is being validated, from pydantic's `ValidationInfo`."""
    return (info.context or {}).get(FOLDER)


ConfigPath = Annotated[Path, AfterValidator(lambda path, info: from_folder(path, folder_of(info)))]
NameOrFolder = Annotated[str, AfterValidator(lambda name, info: name_or_folder(name, folder_of(info)))]
