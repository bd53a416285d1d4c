"""Seeing, and changing, what goes into a module or comes out of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from inversescope.subject.architecture import Side

See = Callable[[Tensor], Tensor | None]


def hook(module: nn.Module, side: Side, see: See) -> RemovableHandle:
    """Call `see` with the hidden state that goes into the module or comes out of it; what it returns takes its place.

    The hidden state is the first argument, or the one named `hidden_states`; of several outputs, the first. Only passes
    of this thread are seen: another one may use the model between two of them.
    """
    seen = partial(_of_thread, threading.get_ident(), see)
    if side == "input":
        return module.register_forward_pre_hook(partial(_before, seen), with_kwargs=True)
    return module.register_forward_hook(partial(_after, seen))


def _of_thread(thread: int, see: See, hidden: Tensor) -> Tensor | None:
    return see(hidden) if threading.get_ident() == thread else None


def _before(see: See, _: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    changed = see(args[0] if args else kwargs["hidden_states"])
    if changed is None:
        return None
    return ((changed, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": changed})


def _after(see: See, _: nn.Module, __: Any, output: Any) -> Any:
    changed = see(output[0] if isinstance(output, tuple | list) else output)
    if changed is None:
        return None
    if isinstance(output, tuple):
        return (changed, *output[1:])
    return [changed, *output[1:]] if isinstance(output, list) else changed
