"""A subject without its weights: what its configuration says of it, and a model of the same shapes to measure with.

Nothing here downloads weights. A model of the hub gives its configuration and its tokenizer, some megabytes.
"""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from inversescope.errors import UserError
from inversescope.subject import bundled, loading
from inversescope.subject.subject import Subject

CONFIG = "config.json"
_SMALL = ("*.json", "*.jinja", "*.txt", "*.model")  # a configuration and a tokenizer
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_SPREAD = 0.02  # of the random weights, as most models begin with


def locate(name: str, revision: str | None = None) -> Path:
    """The folder with a model's configuration and tokenizer: itself, the bundled subject's, or a download of these.

    Raises:
        UserError: there is no such model, or it is not this user's to read.
    """
    if name == bundled.NAME:
        return bundled.folder()
    folder = Path(name) if Path(name).is_dir() else loading.download(name, revision, _SMALL)
    if not (folder / CONFIG).is_file():
        raise UserError(
            "there is neither this model nor its configuration",
            given=f"{name!r} (no {CONFIG} in {folder})",
            allowed="a folder with config.json and a tokenizer, or a causal language model's name on the hub",
        )
    return folder


def has_weights(folder: Path) -> bool:
    """Whether every file of the model's weights is in its folder."""
    for name in _WEIGHTS:
        index = folder / f"{name}.index.json"
        if index.is_file():
            shards = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
            return all((folder / shard).is_file() for shard in shards)
    return any((folder / name).is_file() for name in _WEIGHTS)


def without_weights(folder: Path, name: str, dtype: torch.dtype) -> Subject:
    """The model without any weights: its sites, its sizes and its tokenizer are known, and it cannot be run.

    Raises:
        UserError: it is no causal language model, or its blocks cannot be found.
    """
    return _build(_config(folder), folder, name, dtype, torch.device("meta"))


def stand_in(folder: Path, name: str, dtype: torch.dtype, device: torch.device, layers: int) -> Subject:
    """A model of the same widths with random weights and this many layers, to be measured in its place."""
    config = deepcopy(_config(folder))
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]
    subject = _build(config, folder, name, dtype, device)
    draws = torch.Generator(device).manual_seed(0)
    for weight in subject.model.parameters():
        weight.data = torch.empty_like(weight).normal_(0, _SPREAD, generator=draws)
    return subject


def _config(folder: Path) -> Any:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise UserError("this configuration cannot be used", given=f"{folder / CONFIG}: {error}") from error
    loading.refuse_not_causal(config)
    return config


def _build(config: Any, folder: Path, name: str, dtype: torch.dtype, device: torch.device) -> Subject:
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]), device, loading.quiet():
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    subject = Subject.of(model, loading.load_tokenizer(str(folder)), name)
    subject.untrained = True
    return subject
