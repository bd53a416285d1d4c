"""A causal language model from a folder or from the Hugging Face hub, with errors that say what was tried."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from inversescope.errors import UserError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_CAUSAL = ("ForCausalLM", "LMHeadModel")


def choose_device(device: str) -> torch.device:
    """The device asked for; "auto" is CUDA where there is one, else the CPU.

    Raises:
        UserError: there is no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # an assertion where torch was built without CUDA
        raise UserError("this device cannot be used", given=device, allowed="auto, cpu, cuda, cuda:N") from error
    return torch.device(device)


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """The precision asked for; "auto" is bfloat16 where the device computes in it fast, else float32.

    Raises:
        UserError: the name is none of auto, float32, bfloat16, float16.
    """
    if dtype == "auto":
        cpu = torch.cpu.get_capabilities()
        fast = device.type == "cuda" or cpu.get("avx512_bf16", False) or cpu.get("amx_bf16", False)
        return torch.bfloat16 if fast else torch.float32
    if dtype not in _DTYPES:
        raise UserError("this precision is not known", given=dtype, allowed=", ".join(("auto", *_DTYPES)))
    return _DTYPES[dtype]


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no advice from transformers within."""
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def load(name: str, *, revision: str | None, dtype: torch.dtype) -> tuple[Any, Any]:
    """The model, on the CPU, and its tokenizer, or None where it has none.

    Raises:
        UserError: there is no such model, it is or it is no causal language model.
    """
    source: dict[str, Any] = {"trust_remote_code": False}
    if Path(name).is_dir():
        with quiet():
            return _load(name, "a folder", dtype, source)
    reachable = _reachable(name, revision)
    source |= {"revision": revision, "local_files_only": not reachable}
    tried = "the Hugging Face hub" if reachable else "earlier downloads, as the Hugging Face hub does not answer"
    return _load(name, tried, dtype, source)


def _load(name: str, tried: str, dtype: torch.dtype, source: dict[str, Any]) -> tuple[Any, Any]:
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(name, **source)
        _refuse_not_causal(config)
        read: Any = AutoModelForCausalLM.from_pretrained(name, dtype=dtype, output_loading_info=True, **source)
    except UserError:
        raise
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _not_loaded(name, tried, str(error)) from error
    model, info = read
    if info["missing_keys"]:
        raise _not_loaded(name, tried, f"weights are missing: {', '.join(sorted(info['missing_keys'])[:3])}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **source)
    except (OSError, ValueError):  # a model may come without one; `Subject.encode` tells whoever needs it
        tokenizer = None
    return model, tokenizer


def _reachable(name: str, revision: str | None) -> bool:
    """Whether the hub answers, asked once: transformers itself would ask for half a minute before it gives up."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    from huggingface_hub.errors import HTTPError as NetworkError  # pyright: ignore[reportPrivateImportUsage]

    try:
        HfApi().model_info(name, revision=revision, timeout=10)
    except (HfHubHTTPError, HFValidationError) as error:
        raise _not_loaded(name, "the Hugging Face hub", str(error)) from error
    except (NetworkError, OSError):  # no network: a copy downloaded before will do
        return False
    return True


def _refuse_not_causal(config: Any) -> None:
    architectures = config.architectures or []
    if architectures and not any(architecture.endswith(_CAUSAL) for architecture in architectures):
        allowed = " or ".join(f"...{ending}" for ending in _CAUSAL)
        raise UserError("this is not a causal language model", given=", ".join(architectures), allowed=allowed)


def _not_loaded(name: str, tried: str, reason: str) -> UserError:
    return UserError(
        "this subject could not be loaded",
        given=f"{name!r}; tried {tried}: {' '.join(reason.split())}",
        allowed="smollm2 (bundled), a folder with a saved model, or a causal language model's name on the hub",
    )
