"""Python files that a config names: a task, or the function of a feature. Run only once the user has allowed them.

Permission is given to one version of a file for one use, by their hash, and kept in the user's cache. Nothing in a
config or in a run directory can give it.
"""

from __future__ import annotations

import hashlib
import sys
import sysconfig
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from inversescope import files
from inversescope.errors import CodeNotAllowedError, UserError

ALLOWED = "allowed-code.txt"  # in the user's cache: one line for each version of a file and its use
LARGEST = 10_000_000  # bytes of a file
_allowed_now: set[str] = set()  # in this process, also where the cache cannot be written
_versions: dict[str, str] = {}  # hash of each module that was run


@dataclass(frozen=True)
class UserCode:
    """Python file and its use: `task`, or `function NAME`."""

    path: Path
    use: str

    def read(self) -> bytes:
        """Source of the file.

        Raises:
            UserError: there is no such file, it is too large, or belongs to a library: permission for it would allow
                every function in it to everybody.
        """
        try:
            found = self.path.resolve(strict=True)
            size = found.stat().st_size if found.is_file() else None
            if size is not None and size <= LARGEST and not _of_a_library(found):
                return found.read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
            reason = getattr(error, "strerror", None) or error
            raise UserError("a Python file of the config cannot be read", given=f"{self}: {reason}") from error
        raise UserError(
            "this cannot be used as a Python file of a config",
            given=self,
            allowed=f"a file of your own, up to {LARGEST:,} bytes; none of an installed library",
        )

    @property
    def sha256(self) -> str:
        """Hash of the file."""
        return hashlib.sha256(self.read()).hexdigest()

    def __str__(self) -> str:
        return f"{self.path} ({self.use})"


def allow(codes: Iterable[UserCode]) -> None:
    """Remember that these files may be run, in the version that they have now."""
    new = {_line(code, code.read()) for code in codes} - _remembered()
    _allowed_now.update(new)
    with suppress(OSError):  # it is allowed for this process in any case
        files.user_cache().mkdir(parents=True, exist_ok=True)
        with (files.user_cache() / ALLOWED).open("a", encoding="utf-8") as kept:
            kept.writelines(f"{line}\n" for line in sorted(new))


def require_allowed(codes: Iterable[UserCode]) -> None:
    """Refuse files that the user has not allowed in the version that they have now.

    Raises:
        CodeNotAllowedError: there are some.
    """
    remembered = _remembered()
    sources = {code: code.read() for code in codes}
    refused = [code for code, source in sources.items() if _line(code, source) not in remembered]
    if refused:
        shown = "; ".join(f"{code}, SHA-256 {hashlib.sha256(sources[code]).hexdigest()[:16]}" for code in refused)
        raise CodeNotAllowedError(
            "this would run Python code that you have not allowed: a config that others wrote may do anything with it",
            given=shown,
            allowed="files that you allowed before, unchanged",
            remedy="read the code; then the same with --allow-code (in Python: allow_code=True), once for each version",
        )


def load_file(code: UserCode) -> ModuleType:
    """Run a file as a module; anew if it has changed. The caller explains what the file raises.

    No bytecode is written beside it: a file that was just changed is never taken for the one before.

    Raises:
        CodeNotAllowedError: the user has not allowed this version of it.
    """
    source = code.read()
    if _line(code, source) not in _remembered():
        require_allowed([code])
    version = hashlib.sha256(source).hexdigest()
    name = f"inversescope_file_{hashlib.sha256(str(code.path.resolve()).encode()).hexdigest()[:16]}"
    if name not in sys.modules or _versions[name] != version:
        module = ModuleType(name)
        module.__file__ = str(code.path)
        before = sys.modules.get(name)
        sys.modules[name] = module  # dataclasses and pydantic look their module up while it is being run
        try:
            exec(compile(source, str(code.path), "exec"), module.__dict__)
        except BaseException:
            del sys.modules[name]
            if before is not None:
                sys.modules[name] = before
            raise
        _versions[name] = version
    return sys.modules[name]


def _line(code: UserCode, source: bytes) -> str:
    """The file's version and its use, as one line."""
    return f"{hashlib.sha256(source).hexdigest()} {' '.join(code.use.split())}"


def _remembered() -> set[str]:
    try:
        kept = (files.user_cache() / ALLOWED).read_text(encoding="utf-8", errors="replace")
    except OSError:
        kept = ""
    return _allowed_now | set(kept.splitlines())


def _of_a_library(path: Path) -> bool:
    folders = {Path(sysconfig.get_path(key)).resolve() for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    return any(path.is_relative_to(folder) for folder in folders)
