"""A model's tokenizer from its files, or the error that says why there is none."""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from inversescope import files
from inversescope.errors import UserError

_FILES = (
    "tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json", "merges.txt", "spiece.model", "vocab.txt",
    "sentencepiece.bpe.model", "tokenizer_config.json",
)  # fmt: skip
# What a message of transformers or tokenizers holds, and the package that it asks for.
_PACKAGES = {
    "sentencepiece": "sentencepiece", "tiktoken": "tiktoken", "protobuf": "protobuf",
    "mistral_common": "mistral-common", "mistral-common": "mistral-common",
}  # fmt: skip
_OWN = "a tokenizer of yours: Subject.from_model(model, tokenizer=...) or (model, encode=..., decode=...)"
_NONE = "this subject has no tokenizer: it reads token ids only"


def load_tokenizer(name: str, **source: Any) -> Any:
    """The model's tokenizer; where it has none, or it cannot be read, the `UserError` for whoever wants to use it."""
    from transformers import AutoTokenizer

    if pointers := [file for file in _FILES if files.is_lfs_pointer(Path(name) / file)]:
        return _error(name, f"{pointers[0]} is a Git LFS pointer, not the file itself", "git lfs pull")
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **({"trust_remote_code": False} | source))
    except Exception as error:  # a damaged file fails in any way
        return _unreadable(Path(name), name, error)
    if _invented(tokenizer):
        given = f"{name}: transformers has made up one of {len(tokenizer)} special tokens for it"
        return UserError(_NONE, given=given, allowed=", ".join(_FILES[:5]), remedy=_OWN)
    return tokenizer


def _invented(tokenizer: Any) -> bool:
    """True of what transformers makes of a folder without a tokenizer: a vocabulary of special tokens alone."""
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    return special.issuperset(tokenizer.get_vocab().values())


def _unreadable(folder: Path, name: str, error: Exception) -> UserError:
    text = " ".join(str(error).split())
    if folder.is_dir() and not any((folder / file).is_file() for file in _FILES):
        given, allowed = f"{folder}: no tokenizer file", ", ".join(_FILES[:5])
        return UserError(_NONE, given=given, allowed=allowed, remedy=_OWN)
    reason, remedy = f"{type(error).__name__}: {text[:300]}", _OWN
    if "trust_remote_code" in text:
        reason = "it is code of the repository's own, which is not run"
    elif "untagged enum" in text or "unknown variant" in text or isinstance(error, KeyError | TypeError):
        version = metadata.version("tokenizers")
        reason = f"tokenizer.json has a format that tokenizers {version} does not know: a newer one, or it is damaged"
        remedy = "pip install -U tokenizers transformers"
    elif package := _missing(text):
        reason, remedy = f"it needs {package}, which is not installed", f"pip install {package}"
    return _error(name, reason, remedy)


def _error(name: str, reason: str, remedy: str) -> UserError:
    return UserError("this subject's tokenizer cannot be read", given=f"{name}: {reason}", remedy=remedy)


def _missing(text: str) -> str | None:
    """The package that an error asks for, and that is not installed."""
    for word, package in _PACKAGES.items():
        module = "google.protobuf" if package == "protobuf" else package.replace("-", "_")
        if word in text.lower() and not _installed(module):
            return package
    return None


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
