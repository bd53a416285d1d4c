"""Worker processes of a test's own pools."""

from __future__ import annotations

from contextlib import suppress

import psutil


def workers() -> list[psutil.Process]:
    """Those that have not ended. The standard library's own tracker stays with this process, and is not among them."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):  # it has ended meanwhile
            if child.status() != psutil.STATUS_ZOMBIE and "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found
