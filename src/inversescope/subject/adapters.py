"""Adapters of PEFT (LoRA and its kind): the model that one is for, and the model with it in place.

Its matrices stay beside those of the model, and so the values are PEFT's own, to the last bit.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from inversescope import files
from inversescope.errors import UserError
from inversescope.extras import install

_CONFIG = "adapter_config.json"
_MERGE = "model.merge_and_unload().save_pretrained(FOLDER)"


def base_of(name: str, **source: Any) -> str | None:
    """The model that an adapter is for; None: it is a model itself.

    Raises:
        UserError: it does not say which, or peft is not installed.
    """
    path = _config(name, source)
    if path is None:
        return None
    settings = files.read_json(path)
    base = settings.get("base_model_name_or_path") if isinstance(settings, dict) else None
    if not isinstance(base, str) or not base:
        remedy = f"add it to {path}: the folder or the hub's name of the model that it was trained on"
        raise UserError("this adapter does not say for which model it is", given=name, remedy=remedy)
    if find_spec("peft") is None:
        raise UserError("an adapter needs peft, which is not installed", given=name, remedy=install("adapters"))
    return base


def put_on(model: Any, name: str, **source: Any) -> None:
    """Put the adapter into the model.

    Raises:
        UserError: it does not fit.
    """
    try:
        info = model.load_adapter(name, adapter_kwargs={k: v for k, v in source.items() if k != "trust_remote_code"})
    except Exception as error:  # another method, or matrices of another model
        raise UserError(
            "this adapter cannot be put on its model", given=f"{name}: {' '.join(str(error).split())[:300]}",
            remedy=f"merge it with peft, and read the result: {_MERGE}",
        ) from error  # fmt: skip
    missing = sorted(info.missing_keys) + sorted(map(str, info.mismatched_keys))
    if missing:
        raise UserError("an adapter's weights are missing or do not fit", given=f"{name}: {', '.join(missing[:3])}")


def unwrapped(model: Any) -> Any:
    """The Hugging Face model in a `PeftModel`, its adapters in place; any other model as it is.

    Raises:
        UserError: the adapter is made of tokens, not of matrices (prompt or prefix tuning).
    """
    if not (hasattr(model, "peft_config") and hasattr(model, "get_base_model")):
        return model
    if model.active_peft_config.is_prompt_learning:
        given = f"{type(model).__name__}: {model.active_peft_config.peft_type}"
        raise UserError(
            "this adapter puts tokens of its own before every input", given=given, allowed="LoRA and its kind"
        )
    return model.get_base_model()


def _config(name: str, source: dict[str, Any]) -> Path | None:
    """The adapter's configuration; None where there is none, or weights of a whole model beside it."""
    folder = Path(name)
    if folder.is_dir():
        whole = [*folder.glob("model*.safetensors"), *folder.glob("pytorch_model*")]
        return folder / _CONFIG if (folder / _CONFIG).is_file() and not whole else None
    from transformers.utils.peft_utils import find_adapter_config_file

    settings = {key: value for key, value in source.items() if key in ("revision", "local_files_only")}
    try:
        found = find_adapter_config_file(name, **settings)
    except OSError:
        return None
    return None if found is None else Path(found)
