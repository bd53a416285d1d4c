"""Subject without its weights: its sites, sizes and tokenizer, from its configuration.

Nothing here downloads weights. A model of the hub gives its configuration and its tokenizer, some megabytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from inversescope.errors import UserError
from inversescope.subject import adapters, bundled, loading
from inversescope.subject.subject import Subject
from inversescope.subject.tokenizer import Prefix
from inversescope.subject.tokenizer_files import load_tokenizer

CONFIG = "config.json"
_SMALL = ("*.json", "*.jinja", "*.txt", "*.model")  # a configuration and a tokenizer


def locate(name: str, revision: str | None = None) -> Path:
    """The folder with a model's configuration and tokenizer: itself, the bundled subject's, or a download of these.

    Raises:
        UserError: there is no such model, or it is not this user's to read.
    """
    if name == bundled.NAME:
        return bundled.folder()
    folder = Path(name) if Path(name).is_dir() else loading.download(name, revision, _SMALL)
    if (base := adapters.base_of(str(folder))) is not None:
        return locate(base)
    if not (folder / CONFIG).is_file():
        raise UserError(
            "there is neither this model nor its configuration",
            given=f"{name!r} (no {CONFIG} in {folder})",
            allowed="a folder with config.json and a tokenizer, or a causal language model's name on the hub",
        )
    return folder


def without_weights(folder: Path, name: str, dtype: torch.dtype, prefix: Prefix = "auto") -> Subject:
    """The model without any weights: its sites, its sizes and its tokenizer are known, and it cannot be run.

    Raises:
        UserError: it is no causal language model, or its blocks cannot be found.
    """
    config = _config(folder)
    with torch.random.fork_rng(devices=[]), torch.device("meta"), loading.quiet():
        try:
            model = loading.class_for(config).from_config(config, dtype=dtype)
        except Exception as error:  # sizes that do not fit fail in any way, deep in transformers
            raise _unusable(folder, error) from error
    subject = Subject.of(model, load_tokenizer(str(folder)), name, prefix)
    subject.untrained = True
    return subject


def _config(folder: Path) -> Any:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        raise _unusable(folder, error) from error
    loading.refuse_not_causal(config)
    return config


def _unusable(folder: Path, error: Exception) -> UserError:
    given = f"{folder / CONFIG}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return UserError("this configuration cannot be used", given=given)
