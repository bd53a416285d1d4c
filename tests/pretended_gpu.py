"""A GPU that is only pretended: the command line, or a function, where a second device is the processor's own memory.

`python pretended_gpu.py ARGUMENTS` runs `inversescope ARGUMENTS`, for which the device `cpu:1` is another one than the
processor. Its tensors hold their values on the processor but refuse what a GPU would refuse: to meet tensors of the
processor in one operation, to be drawn from the processor's random numbers, to become an array. The numbers are the
processor's, so that a run must give the same files. A process of its own, since parts of torch are replaced.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import safetensors.torch
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

GPU = torch.device("cpu", 1)
_COPIES = ("aten::_to_copy", "aten::copy_")
_INDEXING = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")


class OnGpu(Tensor):
    """Tensor of the pretended GPU; `numbers` are its own."""

    numbers: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore[reportAssignmentType]

    @staticmethod
    def __new__(cls, values: Tensor) -> OnGpu:
        like = {"dtype": values.dtype, "layout": values.layout, "requires_grad": values.requires_grad}
        made = Tensor._make_wrapper_subclass(
            cls, values.shape, values.stride(), values.storage_offset(), device=GPU, **like
        )
        made.numbers = values
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return _operation(func, args, kwargs or {})

    def tolist(self) -> Any:
        return self.numbers.tolist()


class Random(torch.Generator):
    """Random numbers of a device."""

    def __new__(cls, device: Any = "cpu") -> Random:
        return super().__new__(cls, "cpu")  # pyright: ignore[reportCallIssue]

    def __init__(self, device: Any = "cpu") -> None:
        self.on_gpu = _is_gpu(device)


def _is_gpu(device: Any) -> bool:
    return device is not None and torch.device(device) == GPU


def _operation(func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """An operation of torch, refused where its tensors lie on two devices."""
    name = func._schema.name
    if name == "aten::_has_compatible_shallow_copy_type":
        return False
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    gpu = any(isinstance(tensor, OnGpu) for tensor in tensors)
    apart = [tensor for tensor in tensors if not isinstance(tensor, OnGpu) and tensor.dim()]
    allowed = name in _COPIES or (name in _INDEXING and isinstance(args[0], OnGpu))
    if gpu and apart and not allowed:
        raise RuntimeError(f"{name}: tensors on two devices, of the processor {[tuple(t.shape) for t in apart]}")
    wanted = kwargs.get("device")
    if name == "aten::copy_":
        gpu = isinstance(args[0], OnGpu)
    elif wanted is not None:
        gpu = _is_gpu(wanted)
        kwargs = {**kwargs, "device": torch.device("cpu")}
    plain, options = tree_map_only(OnGpu, lambda tensor: tensor.numbers, (args, kwargs))
    result = func(*plain, **options)
    if not func._schema.returns:
        return None
    if func._schema.is_mutable:
        return kwargs["out"] if "out" in kwargs else args[0]
    return tree_map_only(Tensor, OnGpu, result) if gpu else result


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return _operation(func, args, kwargs or {})


class _Calls(TorchFunctionMode):
    """Calls of Python: tensors from lists go to the device that they name, and random numbers are of the device."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        options = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and _is_gpu(options.get("device")):
            return func(*args, **{name: value for name, value in options.items() if name != "device"}).to(GPU)
        random = options.get("generator")
        if random is not None:
            leaves = tree_leaves((args, options))
            gpu = _is_gpu(options.get("device")) or any(isinstance(leaf, OnGpu) for leaf in leaves)
            if gpu != getattr(random, "on_gpu", False):
                raise RuntimeError(f"{func}: the random numbers are another device's than the tensors")
        return func(*args, **options)


@contextmanager
def pretended() -> Iterator[None]:
    """Here `cpu:1` is a GPU. Before the package is imported: parts of torch are replaced for good."""
    torch.set_num_threads(1)
    torch.inference_mode = torch.no_grad  # views of such tensors cannot be made in inference mode
    torch.Generator = Random
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    safetensors.torch.save = _moved(safetensors.torch.save)
    safetensors.torch.save_file = _moved(safetensors.torch.save_file)
    with _Operations(), _Calls():
        yield


def _moved(save: Callable[..., Any]) -> Callable[..., Any]:
    """safetensors reads a GPU's memory by itself, which this one does not have."""
    return lambda tensors, *rest, **options: save({name: t.cpu() for name, t in tensors.items()}, *rest, **options)


if __name__ == "__main__":
    with pretended():
        from inversescope.cli import main

        main(sys.argv[1:])
