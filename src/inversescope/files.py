"""Files that are either whole or absent: atomic writes, hashes, manifests of finished steps.

A file of a finished step is read through `verified`, which compares it with its hash in the manifest; a JSON file that
no manifest lists is sealed: its last key is the hash of what stands before it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from inversescope.errors import UserError

MANIFEST = "manifest.json"
SEAL = "sha256"  # last key of a sealed file
_SEALED = re.compile(rb',?\n  "sha256": "([^"]*)"\n}\n', re.DOTALL)
_OWN_PART = re.compile(r"\.([0-9]{1,9})\.part$")  # other programs name their temporary files so, too, without a process
_SPOILT = "a file of this run is not what was written (damaged or edited)"


@runtime_checkable  # the tests execute the annotations
class RunFolder(Protocol):
    """A run as far as its records go: its directory, and the seed of its random numbers."""

    @property
    def folder(self) -> Path: ...
    @property
    def seed(self) -> int: ...


def user_cache() -> Path:
    """Folder of what is kept for all runs of a user: INVERSESCOPE_CACHE, else in the user's cache."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("INVERSESCOPE_CACHE") or folder / "inversescope")


def write(path: Path, save: Callable[[Path], object]) -> None:
    """Let `save` write a neighbouring temporary file, then move it to `path` in one step.

    Raises:
        UserError: the disk is full, or the file cannot be written. Whatever stood at `path` before is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save(temporary)
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                "the disk is full", given=path, remedy="free some space and start again with --resume"
            ) from error
        reason = f"{path}: {error.strerror or error}"
        raise UserError(
            "a file cannot be written, and what stood there before is untouched",
            given=reason,
            remedy="mend this, and start again (a run: with --resume)",
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: object, indent: int | None = 2) -> None:
    """Write `value` as JSON with a final newline. NaN is refused: undefined is null.

    `indent`: None for what no one looks at; it is several times as fast.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n"
    write(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def plain(value: Any) -> Any:
    """Named values and tuples as JSON has them; NaN and infinity are null."""
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        UserError: it is not JSON.
    """
    try:
        return parse_json(path.read_text(encoding="utf-8-sig"), path)
    except UnicodeDecodeError as error:
        raise UserError("a file is not readable as JSON (damaged or edited)", given=f"{path}: {error}") from error


def parse_json(text: str, path: Path) -> Any:
    """The value in the text of a JSON file.

    Raises:
        UserError: it is not JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError("a file is not readable as JSON (damaged or edited)", given=f"{path}: {error}") from error


def is_lfs_pointer(path: Path) -> bool:
    """True of the small text file that Git leaves in place of a large one, where Git LFS has not fetched it."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(60)
    return start.startswith(b"version ") and b"git-lfs" in start


def write_table(path: Path, table: pa.Table) -> None:
    """Write an Arrow table as Parquet."""
    write(path, lambda temporary: pq.write_table(table, temporary))


def write_tensors(path: Path, tensors: Mapping[str, Any]) -> None:
    """Write named tensors as safetensors; as bytes, since safetensors' own writer has its own words for a full disk."""
    from safetensors.torch import save  # here, because the report reads files and imports no torch

    content = save(dict(tensors))
    write(path, lambda temporary: temporary.write_bytes(content))


def clear(folder: Path) -> None:
    """Remove what writers that were killed left half-written in the folder."""
    for path in folder.glob(".*.part"):
        process = _OWN_PART.search(path.name)
        if process and not psutil.pid_exists(int(process[1])):
            path.unlink(missing_ok=True)


def write_sealed(path: Path, value: Mapping[str, Any]) -> None:
    """Write an object as JSON with the hash of its text as the last key."""
    write(path, lambda temporary: _seal(temporary, value))


def _seal(path: Path, value: Mapping[str, Any]) -> None:
    """Written piece by piece: a manifest may name a million files."""
    seal, end = hashlib.sha256(), ""
    with path.open("wb") as file:

        def add(text: str) -> None:
            content = text.encode()
            seal.update(content)
            file.write(content)

        for piece in json.JSONEncoder(indent=2, ensure_ascii=False, allow_nan=False).iterencode(dict(value)):
            add(end[:-2])
            end = end[-2:] + piece
        add(end.removesuffix("}").rstrip("\n"))
        file.write(f'{"," if value else ""}\n  "{SEAL}": "{seal.hexdigest()}"\n}}\n'.encode())


def read_sealed(path: Path, remedy: str | None = None) -> dict[str, Any]:
    """The object in a sealed file, without its seal.

    Raises:
        UserError: it is not what was written.
    """
    content = path.read_bytes()
    end = next((match for match in _SEALED.finditer(content) if match.end() == len(content)), None)
    body = content if end is None else content[: end.start()]
    actual, recorded = hashlib.sha256(body).hexdigest(), "a hash at the end of the file"
    if end is not None:
        recorded = end[1].decode(errors="replace")
    if actual != recorded:
        raise UserError(_SPOILT, given=f"{path}: {actual}", allowed=recorded, remedy=remedy or _again(path.parent))
    return json.loads(body + b"\n}")


def sha256_of(text: str) -> str:
    """The SHA-256 of a text in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


_hashed: dict[str, tuple[int, str]] = {}  # by path: a hash of the file's state, and that of its bytes in that state


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal; computed once, as long as the file is not written again."""
    name, state = str(path), hash(_state(path))  # short: a run may have a million files
    if name not in _hashed or _hashed[name][0] != state:
        with path.open("rb") as handle:
            _hashed[name] = state, hashlib.file_digest(handle, "sha256").hexdigest()
    return _hashed[name][1]


def _state(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def finish(folder: Path, files: Iterable[Path], **facts: object) -> None:
    """Write the folder's manifest, last: the hash of every file, and the facts given. Its presence means done."""
    hashes = {str(path.relative_to(folder)): sha256(path) for path in files}
    write_sealed(folder / MANIFEST, {**facts, "files": hashes})


def finished(folder: Path) -> bool:
    """True if the folder's step is done."""
    return (folder / MANIFEST).exists()


_manifests: dict[Path, tuple[tuple[int, ...], dict[str, Any]]] = {}


def manifest(folder: Path) -> dict[str, Any]:
    """The folder's manifest.

    Raises:
        UserError: it is not what was written.
    """
    path = folder / MANIFEST
    state = _state(path)
    if path not in _manifests or _manifests[path][0] != state:
        _manifests[path] = state, read_sealed(path)
    return _manifests[path][1]


def states(run: Path, *steps: str) -> dict[str, str]:
    """The hash of the manifest of each of these finished steps: by it, what was made from a step knows it again.

    Raises:
        UserError: a manifest is not what was written.
    """
    for step in steps:
        manifest(run / step)
    return {step: sha256(run / step / MANIFEST) for step in steps}


def check(folder: Path) -> dict[str, Any]:
    """The folder's manifest, after comparing every file with its hash.

    Raises:
        UserError: a file is missing or differs from what was written.
    """
    for name, expected in manifest(folder)["files"].items():
        check_hash(folder / name, expected)
    return manifest(folder)


def verified(path: Path) -> Path:
    """The path of a file that is about to be read, once it is what the manifest beside it says. A step that is not
    finished has no manifest, and its files are as they are.

    Raises:
        UserError: it is missing, differs from what was written, or is not of this step.
    """
    if finished(path.parent):
        check_hash(path, manifest(path.parent)["files"].get(path.name, "no such file in the manifest"))
    return path


def written(path: Path) -> bool:
    """True if a file that a step may write is there.

    Raises:
        UserError: the manifest says that it was written, and it is not there.
    """
    if finished(path.parent):
        return path.name in manifest(path.parent)["files"] and verified(path).exists()
    return path.exists()


def read_table(path: Path, **how: Any) -> pa.Table:
    """A Parquet table of a run, verified; `how` as for `pyarrow.parquet.read_table`."""
    return pq.read_table(verified(path), **how)


def check_hash(path: Path, expected: str) -> None:
    """Compare a file with the SHA-256 that it had when it was written.

    Raises:
        UserError: it is missing or differs.
    """
    actual = sha256(path) if path.exists() else "no such file"
    if actual != expected:
        raise UserError(_SPOILT, given=f"{path}: {actual}", allowed=expected, remedy=_again(path.parent))


def _again(folder: Path) -> str:
    return f"delete the folder {folder} and start again with --resume"
