"""Provenance of a run: versions, commit, machine, device, seed, subject."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from inversescope import __version__
from inversescope.errors import UserError
from inversescope.subject import Subject


def provenance(
    subject: Subject, seed: int, task_file: str | None, features: dict[str, str], prior: dict[str, str]
) -> dict[str, Any]:
    """The facts that a reader needs to make the run again; `commit` is null outside a checkout of this project.

    `task_file` is the hash of the user's file that defines the task. `features` say by feature what labels inputs: the
    hash of a function of the user's, an annotator's library and model. `prior` is its fingerprint (`run/prior.py`).
    """
    commit, dirty = _commit()
    return {
        "inversescope": __version__,
        "commit": commit,
        "dirty": dirty,
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
        "transformers": metadata.version("transformers"),
        "platform": platform.platform(),
        "processor": _processor(),
        "device": str(subject.device),
        "dtype": str(subject.dtype).removeprefix("torch."),
        "seed": seed,
        "subject": {
            "name": subject.name,
            "fingerprint": subject.fingerprint,
            "prefix": list(subject.prefix),
            "projections": {name: projection.fingerprint for name, projection in subject.projections.items()},
        },
        "task_file": task_file,
        "features": features,
        "prior": {"date": subject.tokenizer.date.isoformat(), **prior},
        "nodes": [],
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": {},
    }


def _commit() -> tuple[str | None, bool | None]:
    """The commit of the checkout that this package runs from, and whether tracked files differ from it."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None, None
    git = ["git", "-C", str(root)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        status = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True)
    except FileNotFoundError:  # no git on this machine
        return None, None
    return (commit.stdout.strip() or None, bool(status.stdout.strip())) if commit.returncode == 0 else (None, None)


def _processor() -> str:
    """The processor's name and how many of its cores may be used."""
    import os

    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def require_same(what: str, current: str, recorded: str) -> None:
    """Compare a fingerprint with the one that the run recorded.

    Raises:
        UserError: they differ.
    """
    if current != recorded:
        raise UserError(
            f"the {what} is not the one that this run was made with",
            given=f"fingerprint {current[:16]}",
            allowed=f"fingerprint {recorded[:16]}",
            remedy="start a new run",
        )


def require_annotated_by(feature: str, current: str, recorded: str) -> None:
    """Compare the library and model that label a feature with those that the run recorded.

    Raises:
        UserError: they differ.
    """
    if current != recorded:
        raise UserError(
            f"feature {feature!r} was labelled by another version or model in this run",
            given=current,
            allowed=recorded,
            remedy="install that one, or start a new run",
        )
