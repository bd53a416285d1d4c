"""Installed parts, missing parts, and the remedy: one `Check` each, for the CLI or a notebook to show."""

from __future__ import annotations

import platform
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import psutil
from packaging.requirements import Requirement

from inversescope.extras import pip, requirements

GIGABYTE = 1e9
# The most that the demo may take at its peak, and leave on disk with the converted subject.
MEMORY_NEEDED = 6 * GIGABYTE
DISK_NEEDED = 3 * GIGABYTE
EXTRAS = ("bundled", "notebook")


@dataclass(frozen=True)
class Check:
    """One thing examined. `ok` is True, False (something fails without it), or None (works, with something missing)."""

    name: str
    ok: bool | None
    found: str
    remedy: str | None = None


def examine() -> list[Check]:
    """Every check, in the order in which to mend them; those of the subject need torch installed. Reads only."""
    checks = [_python(), _packages(extra=None), *(_packages(extra) for extra in EXTRAS), _memory(), _disk(Path.cwd())]
    if find_spec("torch"):
        checks += [_device(), _bundled(), _converted()]
    return checks


def _python() -> Check:
    allowed = metadata.metadata("inversescope")["Requires-Python"]
    version = f"{platform.python_version()} at {sys.executable}"
    ok = Requirement(f"python{allowed}").specifier.contains(platform.python_version())
    return Check("Python", ok, version, None if ok else f"make a virtual environment with Python {allowed}")


def _packages(extra: str | None) -> Check:
    """The packages that InverseScope (or one of its extras) requires by its own metadata."""
    installed, wanted = [], []
    for requirement in requirements(extra):
        version = _version(requirement.name)
        installed.append(f"{requirement.name} {version or 'missing'}")
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            wanted.append(f"{requirement.name}{requirement.specifier}")
    name = f"packages of the extra {extra!r}" if extra else "packages"
    ok = not wanted or (None if extra else False)
    return Check(name, ok, ", ".join(installed), pip(*wanted) if wanted else None)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _memory() -> Check:
    memory = psutil.virtual_memory()
    ok = memory.available >= MEMORY_NEEDED or None
    available = f"{memory.available / GIGABYTE:.1f} of {memory.total / GIGABYTE:.1f} GB available"
    return Check(
        "memory",
        ok,
        available,
        None if ok else f"the demo takes up to {MEMORY_NEEDED / GIGABYTE:.0f} GB: close other programs",
    )


def _disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    ok = free >= DISK_NEEDED or None
    remedy = (
        None if ok else f"the demo takes up to {DISK_NEEDED / GIGABYTE:.0f} GB: free some, or run it in another folder"
    )
    return Check("disk", ok, f"{free / GIGABYTE:.1f} GB free in {folder}", remedy)


def _device() -> Check:
    import torch

    from inversescope.subject.loading import choose_device, choose_dtype

    device = choose_device("auto")
    dtype = choose_dtype("auto", device)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    description = f"{device.type} ({where}), {str(dtype).removeprefix('torch.')}"
    return Check("device", True, description if dtype == torch.bfloat16 else f"{description}; no fast bfloat16 here")


def _bundled() -> Check:
    from inversescope.subject.bundled import INSTALL, package_folder

    folder = package_folder()
    return Check(
        "bundled subject", folder is not None or None, str(folder or "not installed"), None if folder else INSTALL
    )


def _converted() -> Check:
    from inversescope.subject.bundled import cache_folder

    folder = cache_folder()
    if folder.exists():
        return Check("bundled subject, converted", True, str(folder))
    return Check("bundled subject, converted", None, "not yet", f"nothing: the first use makes it, in {folder}")
