"""Worker processes of a test's own pools."""

from __future__ import annotations

import os
from contextlib import suppress

import psutil


def workers() -> list[psutil.Process]:
    """Those that have not ended. The standard library's own helpers (a tracker, and the process whose forks the workers
    are) stay with this process, and are not among them.
    """
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended meanwhile
            command = " ".join(child.cmdline())
            forked = "forkserver" in command and child.ppid() != os.getpid()
            if child.status() != psutil.STATUS_ZOMBIE and (forked or "spawn_main" in command):
                found.append(child)
    return found
