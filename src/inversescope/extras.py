"""Commands that install what is missing. The package is on no index yet, so the packages of an extra are named."""

from __future__ import annotations

import shlex
from importlib import metadata

from packaging.requirements import Requirement


def requirements(extra: str | None) -> list[Requirement]:
    """The packages that InverseScope or one of its extras requires by its metadata; none if it is not installed."""
    try:
        listed = [Requirement(line) for line in metadata.requires("inversescope") or ()]
    except metadata.PackageNotFoundError:
        return []
    if extra is None:
        return [wanted for wanted in listed if wanted.marker is None]
    return [wanted for wanted in listed if wanted.marker and wanted.marker.evaluate({"extra": extra})]


def install(extra: str) -> str:
    """Command that installs the packages of an extra."""
    packages = [f"{wanted.name}{wanted.specifier}" for wanted in requirements(extra)]
    return pip(*packages) if packages else f'pip install -e ".[{extra}]", in a clone of the repository'


def pip(*packages: str) -> str:
    """Command that installs packages."""
    return f"pip install {' '.join(map(shlex.quote, packages))}"
