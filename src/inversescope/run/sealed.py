"""Files of the run itself: its config, what the config means for its subject, and its provenance; each has a hash."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from inversescope import __version__, files
from inversescope.errors import UserError
from inversescope.run import locks

CONFIG, RESOLVED, PROVENANCE = "config.toml", "resolved.json", "provenance.json"
CONFIG_HASH = "config_sha256"  # in resolved.json
_REMEDY = "put the file back as it was, or start a new run with the config that you want"


def read_provenance(folder: Path) -> dict[str, Any]:
    """Provenance of a run.

    Raises:
        UserError: it is not what was written.
    """
    return files.read_sealed(folder / PROVENANCE, _REMEDY)


def read_resolved(folder: Path) -> dict[str, Any]:
    """The config with what it means for the subject, and the hash of `config.toml`.

    Raises:
        UserError: it is not what was written.
    """
    return files.read_sealed(folder / RESOLVED, _REMEDY)


def require_run(folder: Path) -> dict[str, Any]:
    """Check that a folder is a run of this version, and give its provenance.

    Raises:
        UserError: it is not a run directory, or one of another version.
    """
    for name in (CONFIG, PROVENANCE, RESOLVED):
        if not (folder / name).exists():
            raise UserError(
                "this is not a run directory",
                given=f"{folder} (no {name})",
                remedy="inversescope run CONFIG --out RUN",
            )
    recorded = read_provenance(folder)
    made_by = recorded["inversescope"]
    if made_by != __version__:
        raise UserError(
            "the run was made by another version of InverseScope",
            given=f"{folder}: version {made_by}",
            allowed=f"version {__version__}",
            remedy=f"start a new run, or open it with version {made_by}",
        )
    return recorded


def write_new(folder: Path, config_text: str, made_by: dict[str, Any], resolved: dict[str, Any]) -> None:
    """Write the files of a new run: its config, its provenance, and what the config means for the subject.

    Raises:
        UserError: the folder is in use.
    """
    with locks.only_writer(folder):
        require_free(folder, config_text)  # another process may have been faster
        if (folder / "task").exists():
            shutil.rmtree(folder / "task")  # of a run of which nothing was done
        files.write(folder / CONFIG, lambda path: path.write_bytes(config_text.encode()))
        files.write_sealed(folder / PROVENANCE, made_by)
        # The last: with it, the folder is a run.
        files.write_sealed(folder / RESOLVED, resolved | {CONFIG_HASH: files.sha256_of(config_text)})


def check_config(folder: Path, other: str | None = None) -> None:
    """Compare the config with its hash. With `other`, a config (TOML text) to which the run was being extended when it
    was interrupted passes as well.

    Raises:
        UserError: it is not what was written.
    """
    actual, recorded = files.sha256(folder / CONFIG), read_resolved(folder)[CONFIG_HASH]
    if actual != recorded and (other is None or files.sha256_of(other) != recorded):
        raise UserError(
            "the config of this run is not what was written (damaged or edited)",
            given=f"{folder / CONFIG}: {actual}",
            allowed=recorded,
            remedy=f"{_REMEDY}; after an interrupted `inversescope extend`, the same command again",
        )


def config_folder(run: Path) -> Path:
    """The folder at which relative paths of a run's config start: where it was, or if that has moved together with the
    run, where it is now.
    """
    start = read_provenance(run)["config"]
    there = Path(start["folder"])
    return there if there.is_dir() else Path(os.path.normpath(run.absolute() / start["from_run"]))


def of_config(start: Path, run: Path) -> dict[str, str]:
    """The folder at which relative paths of the config start, as a record."""
    return {"folder": str(start), "from_run": os.path.relpath(start, run.absolute())}


def nothing_done(folder: Path) -> bool:
    """True for a folder with a run of which no step is done, and nothing is there that took long."""
    names = _names(folder)
    return (
        PROVENANCE in names and names <= {CONFIG, PROVENANCE, RESOLVED, "task"} and not files.finished(folder / "task")
    )


def _names(folder: Path) -> set[str]:
    """Names in a folder; without the lock, and what an attempt that was killed left half-written."""
    names = {path.name for path in folder.iterdir() if path.suffix != ".part"} if folder.is_dir() else set()
    return {name for name in names if name != locks.WRITER and not name.startswith(locks.LOCK)}


def require_free(folder: Path, config_text: str) -> None:
    """Check that a run of this config may be created here; files of an earlier, killed attempt may be there.

    Raises:
        UserError: something else is there.
    """
    if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
        kind = "a file, no folder" if folder.exists() else "a link to nothing"
        raise UserError("a run is a folder", given=f"{folder} ({kind})", allowed="a folder that is missing or empty")
    names = _names(folder)
    begun = names == {CONFIG} and (folder / CONFIG).read_bytes() == config_text.encode()
    if names and not begun and not nothing_done(folder):
        raise UserError(
            "the folder is not empty",
            given=folder,
            allowed="a folder that is missing or empty",
            remedy="another folder, or --resume to go on with the run in it",
        )
