"""Models that the viewer has loaded: each once, and given back when nothing was to be done for a while."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from inversescope import files
from inversescope.progress import Progress

if TYPE_CHECKING:
    from inversescope.inverter import Inverter
    from inversescope.natural_text.natural_text import NaturalText
    from inversescope.natural_text.pool import Seen
    from inversescope.subject import Subject

KEPT = 3  # inverters, subjects and pools of natural text at once, of each kind
Value = TypeVar("Value")


class Models:
    """Inverters of runs, subjects by their name, and subjects with their own text; used by one thread at a time."""

    def __init__(self) -> None:
        self._loaded: OrderedDict[Any, Any] = OrderedDict()

    def __len__(self) -> int:
        return len(self._loaded)

    def has_inverter(self, folder: Path) -> bool:
        """True if the run's inverter is loaded, as it is on the disk now."""
        return _inverter_key(folder) in self._loaded

    def has_subject(self, name: str) -> bool:
        """True if the model is loaded by this name."""
        return ("subject", name) in self._loaded

    def inverter(self, folder: Path) -> Inverter:
        """The inverter of a run.

        Raises:
            UserError: the run is not trained yet, is of another version or damaged, or its model is not there.
        """
        from inversescope.inverter import Inverter

        return self._kept(_inverter_key(folder), lambda: Inverter.load(folder))

    def subject(self, name: str) -> Subject:
        """A model by its name.

        Raises:
            UserError: it is not there.
        """
        from inversescope.subject import Subject

        return self._kept(("subject", name), lambda: Subject.load(name))

    def natural(self, name: str, site: str, length: int, progress: Progress, seen: Seen) -> NaturalText:
        """A model with a pool of its own text, for one site and one length of inputs; `seen` is called with the draws
        of the pool while the rest is made.

        Raises:
            UserError: there is no such site, or inputs of this length cannot be sampled.
        """
        from inversescope.natural_text.natural_text import NaturalText

        subject = self.subject(name)
        opened = lambda: NaturalText.open(  # noqa: E731
            subject, sites=[site], length=length, progress=progress, seen=seen
        )
        return self._kept(("text", name, site, length), opened)

    def release(self) -> None:
        """Give all of them back, and their memory to the system."""
        self._loaded.clear()
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()
        with suppress(OSError, AttributeError):  # the C library of Linux keeps what was freed
            ctypes.CDLL(None).malloc_trim(0)

    def _kept(self, key: tuple[Any, ...], load: Callable[[], Value]) -> Value:
        if key not in self._loaded:
            same = [each for each in self._loaded if each[0] == key[0]]
            for old in same[: len(same) - KEPT + 1] if len(same) >= KEPT else []:
                del self._loaded[old]
            self._loaded[key] = load()
        self._loaded.move_to_end(key)
        return self._loaded[key]


def _inverter_key(folder: Path) -> tuple[str, Path, int]:
    """Key of a run's inverter: another one once the generator is trained anew."""
    manifest = folder / "train" / files.MANIFEST
    return "inverter", folder, manifest.stat().st_mtime_ns if manifest.exists() else 0
