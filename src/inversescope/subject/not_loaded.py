"""The error about a model that cannot be loaded, with its reason and what to do."""

from __future__ import annotations

from pathlib import Path

from inversescope import files
from inversescope.errors import UserError


def not_loaded(name: str, tried: str, error: Exception | str) -> UserError:
    """The error about this model, of this attempt."""
    return UserError(
        "this subject could not be loaded",
        given=f"{name!r}; tried {tried}: {_reason(name, error)}",
        allowed="smollm2 (bundled), a folder with a saved model, or a causal language model's name on the hub",
        remedy=_remedy(name, error) if isinstance(error, Exception) else None,
    )


def _reason(name: str, error: Exception | str) -> str:
    text = " ".join(str(error).split())
    if pointer := _pointer(name):
        return f"{pointer} is a Git LFS pointer, not the file itself"
    if "trust_remote_code" in text:
        return "it is code of the repository's own, which is not run"
    known = isinstance(error, str | OSError | ImportError | ValueError)
    return text if known else f"{type(error).__name__}: {text}"


def _remedy(name: str, error: Exception) -> str | None:
    text = str(error)
    if _pointer(name):
        return "git lfs pull"
    if "trust_remote_code" in text:
        return "load it yourself, if you trust it: Subject.from_model(model, tokenizer=tokenizer)"
    if "does not recognize this architecture" in text:
        return "pip install -U transformers, if it is a new one"
    return _permission(name, error)


def _pointer(name: str) -> str | None:
    """A file of weights, or a configuration, that Git LFS has not fetched."""
    candidates = sorted(path for pattern in ("*.safetensors", "*.bin", "*.json") for path in Path(name).glob(pattern))
    return next((path.name for path in candidates if files.is_lfs_pointer(path)), None)


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
