"""A causal language model from a folder or from the Hugging Face hub, with errors that list the attempts.

Device, precision and attention are what transformers, accelerate and bitsandbytes can do, by their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from inversescope.errors import UserError
from inversescope.extras import install
from inversescope.subject import adapters
from inversescope.subject.model_shape import text_config
from inversescope.subject.not_loaded import not_loaded
from inversescope.subject.tokenizer_files import load_tokenizer

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_CAUSAL = ("ForCausalLM", "LMHeadModel")
_CONDITIONAL = "ForConditionalGeneration"
ALL = "all"  # the device that is every GPU
BITS = (8, 4)
_DEVICES = "auto, cpu, cuda, cuda:N, all"
_HUB = "the Hugging Face hub"
_BASE = {"trust_remote_code": False}  # of the model that an adapter is for: no revision, which is the adapter's
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
        raise UserError("this device cannot be used", given=device, allowed=_DEVICES) from error
    if torch.device(device).type == "meta":
        raise UserError("this device holds no numbers", given=device, allowed=_DEVICES)
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
    """The model, on its device, and its tokenizer; where it has none, the error that says so.

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
    base = adapters.base_of(name, **source)
    with quiet() if base or tried == "a folder" else nullcontext():
        model, tokenizer = _load(base or name, tried, options, source if base is None else _BASE)
        if base is not None:
            adapters.put_on(model, name, **source)
            own = load_tokenizer(name, **source)
            tokenizer = tokenizer if isinstance(own, UserError) else own
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
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(name, **source)
        refuse_not_causal(config)
        read: Any = class_for(config).from_pretrained(name, output_loading_info=True, **options, **source)
    except UserError:
        raise
    except Exception as error:  # a configuration or weights that do not fit fail in any way, deep in transformers
        raise not_loaded(name, tried, error) from error
    model, info = read
    if info["missing_keys"]:
        raise not_loaded(name, tried, f"weights are missing: {', '.join(sorted(info['missing_keys'])[:3])}")
    return model, load_tokenizer(name, **source)


def class_for(config: Any) -> Any:
    """The class that reads a model: of the text alone where there is one, else of the whole."""
    from transformers import AutoModelForCausalLM, AutoModelForMultimodalLM
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    alone = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING or text_config(config) is config
    return AutoModelForCausalLM if alone else AutoModelForMultimodalLM


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
        raise not_loaded(name, _HUB if reachable else _EARLIER, error) from error
    return Path(folder)


def _reachable(name: str, revision: str | None) -> bool:
    """True if the hub answers, tried once: transformers itself would ask for half a minute before it gives up."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    from huggingface_hub.errors import HTTPError as NetworkError  # pyright: ignore[reportPrivateImportUsage]

    try:
        HfApi().model_info(name, revision=revision, timeout=10)
    except (HfHubHTTPError, HFValidationError) as error:
        raise not_loaded(name, _HUB, error) from error
    except (NetworkError, OSError):  # no network: a copy downloaded before will do
        return False
    return True


def refuse_not_causal(config: Any) -> None:
    """Refuse a configuration whose model is no causal language model, and holds none."""
    if config.is_encoder_decoder:
        raise UserError(
            "this model reads its input with an encoder, token by token in both directions",
            given=", ".join(config.architectures or [config.model_type]),
            allowed="a causal language model: a decoder alone, or one inside a model that reads images or sound, too",
        )
    architectures = config.architectures or []
    inside = text_config(config) is not config and any(name.endswith(_CONDITIONAL) for name in architectures)
    if architectures and not inside and not any(name.endswith(_CAUSAL) for name in architectures):
        allowed = f"{' or '.join(f'...{ending}' for ending in _CAUSAL)}, or ...{_CONDITIONAL} with a text model inside"
        raise UserError("this is not a causal language model", given=", ".join(architectures), allowed=allowed)
