"""A Python file of the user's, which defines a task or the function of a feature, as a module."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import ModuleType


def load_file(path: Path) -> ModuleType:
    """Run a Python file as a module, once; whatever it raises, or a file that cannot be read, is the caller's to tell.

    No bytecode is written beside it: a file that was just changed is never taken for the one before.
    """
    name = f"inversescope_file_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}"
    if name not in sys.modules:
        source = path.read_bytes()
        module = ModuleType(name)
        module.__file__ = str(path)
        sys.modules[name] = module  # dataclasses and pydantic look their module up while it is being run
        try:
            exec(compile(source, str(path), "exec"), module.__dict__)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]
