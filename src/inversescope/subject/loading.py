"""A causal language model from a folder or from the Hugging Face hub, with errors that list the attempts.

Device, precision and attention are what transformers, accelerate and bitsandbytes can do, by their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from inversescope.errors import UserError
from inversescope.extras import install

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_CAUSAL = ("ForCausalLM", "LMHeadModel")
ALL = "all"  # the device that is every GPU
BITS = (8, 4)
_HUB = "the Hugging Face hub"
_EARLIER = "earlier downloads, as the Hugging Face hub does not answer"
ATTENTION = ("sdpa", "eager", "flash_attention_2", "flex_attention")


def choose_device(device: str) -> torch.device:
    """The wanted device; "auto" is CUDA where there is one, else the CPU, and of "all" the first GPU.

    Raises:
        UserError: there is no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == ALL:
        if not torch.cuda.is_available():
            raise UserError("there is no GPU to spread the subject over", given=ALL, allowed="auto, cpu")
        _require("accelerate", "a subject spread over all GPUs")
        return torch.device("cuda", 0)
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # an assertion where torch was built without CUDA
        raise UserError("this device cannot be used", given=device, allowed="auto, cpu, cuda, cuda:N, all") from error
    return torch.device(device)


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """The wanted precision; "auto" is bfloat16 where the device computes in it fast, else float32.

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


def load(
    name: str,
    *,
    dtype: torch.dtype,
    device: torch.device | None = None,
    spread: bool = False,
    revision: str | None = None,
    bits: int | None = None,
    attention: str | None = None,
) -> tuple[Any, Any]:
    """The model, on its device, and its tokenizer, or None where it has none.

    Args:
        name: a folder, or a name on the hub.
        dtype: what it computes in.
        device: where it goes; None: the CPU.
        spread: over all GPUs instead, as much on each as fits (accelerate).
        revision: a branch, tag or commit of the hub.
        bits: of a weight, rounded as it is loaded (bitsandbytes: LLM.int8() or NF4); None: as they are.
        attention: the kernel; None: what transformers chooses.

    Raises:
        UserError: there is no such model, it is no causal language model, or a library that it needs is missing.
    """
    options: dict[str, Any] = {"dtype": dtype}
    if attention is not None:
        if attention not in ATTENTION:
            raise UserError("this attention kernel is not known", given=attention, allowed=", ".join(ATTENTION))
        options["attn_implementation"] = attention
    if bits is not None:
        options |= {"quantization_config": _rounding(bits, dtype), "device_map": {"": device or torch.device("cpu")}}
    if spread:
        options["device_map"] = "auto"
    source: dict[str, Any] = {"trust_remote_code": False}
    tried = "a folder"
    if not Path(name).is_dir():
        reachable = _reachable(name, revision)
        source |= {"revision": revision, "local_files_only": not reachable}
        tried = _HUB if reachable else _EARLIER
        model, tokenizer = _load(name, tried, options, source)
    else:
        with quiet():
            model, tokenizer = _load(name, tried, options, source)
    return model if "device_map" in options or device is None else model.to(device), tokenizer


def _rounding(bits: int, dtype: torch.dtype) -> Any:
    if bits not in BITS:
        raise UserError("weights cannot be rounded to so many bits", given=bits, allowed="8 or 4")
    _require("bitsandbytes", f"a subject of {bits} bits a weight")
    _require("accelerate", f"a subject of {bits} bits a weight")
    from transformers import BitsAndBytesConfig

    if bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def _require(library: str, what: str) -> None:
    if find_spec(library) is None:
        raise UserError(f"{what} needs {library}, which is not installed", remedy=install("quantized"))


def _load(name: str, tried: str, options: dict[str, Any], source: dict[str, Any]) -> tuple[Any, Any]:
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(name, **source)
        refuse_not_causal(config)
        read: Any = AutoModelForCausalLM.from_pretrained(name, output_loading_info=True, **options, **source)
    except UserError:
        raise
    # ImportError: the library of its attention kernel, or the one that its weights were rounded with, is missing.
    except (ImportError, OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _not_loaded(name, tried, error) from error
    model, info = read
    if info["missing_keys"]:
        raise _not_loaded(name, tried, f"weights are missing: {', '.join(sorted(info['missing_keys'])[:3])}")
    return model, load_tokenizer(name, **source)


def load_tokenizer(name: str, **source: Any) -> Any:
    """The model's tokenizer; None if it has none, which is an error of `Subject.encode`."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name, **source)
    except (OSError, ValueError):
        return None


def download(name: str, revision: str | None, patterns: Sequence[str]) -> Path:
    """The folder of a model of the hub, after downloading those of its files that match; earlier downloads if the hub
    does not answer.

    Raises:
        UserError: there is no such model, it is not this user's to read, or nothing of it was downloaded before.
    """
    from huggingface_hub import snapshot_download

    reachable = _reachable(name, revision)
    try:
        with quiet():
            folder = snapshot_download(
                name, revision=revision, allow_patterns=list(patterns), local_files_only=not reachable
            )
    except (OSError, ValueError) as error:
        raise _not_loaded(name, _HUB if reachable else _EARLIER, error) from error
    return Path(folder)


def _reachable(name: str, revision: str | None) -> bool:
    """True if the hub answers, tried once: transformers itself would ask for half a minute before it gives up."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    from huggingface_hub.errors import HTTPError as NetworkError  # pyright: ignore[reportPrivateImportUsage]

    try:
        HfApi().model_info(name, revision=revision, timeout=10)
    except (HfHubHTTPError, HFValidationError) as error:
        raise _not_loaded(name, _HUB, error) from error
    except (NetworkError, OSError):  # no network: a copy downloaded before will do
        return False
    return True


def refuse_not_causal(config: Any) -> None:
    """Refuse a configuration whose model is no causal language model."""
    architectures = config.architectures or []
    if architectures and not any(architecture.endswith(_CAUSAL) for architecture in architectures):
        allowed = " or ".join(f"...{ending}" for ending in _CAUSAL)
        raise UserError("this is not a causal language model", given=", ".join(architectures), allowed=allowed)


def _not_loaded(name: str, tried: str, error: Exception | str) -> UserError:
    return UserError(
        "this subject could not be loaded",
        given=f"{name!r}; tried {tried}: {' '.join(str(error).split())}",
        allowed="smollm2 (bundled), a folder with a saved model, or a causal language model's name on the hub",
        remedy=_permission(name, error) if isinstance(error, Exception) else None,
    )


def _permission(name: str, error: BaseException) -> str | None:
    """Remedy where the hub does not let this user have the model (Gemma, Llama); None for other errors.

    transformers says what the hub said in errors of its own, with the hub's behind them.
    """
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    if any(isinstance(cause, GatedRepoError) for cause in causes):
        return (
            f"accept the model's licence at https://huggingface.co/{name} with your account, then `hf auth login` or "
            "HF_TOKEN with a token of that account"
        )
    answers = [cause.response.status_code for cause in causes if isinstance(cause, HfHubHTTPError)]
    if any(answer in (401, 403) for answer in answers):
        return "check the name; if the model is private, `hf auth login` or HF_TOKEN with a token that may read it"
    return None
