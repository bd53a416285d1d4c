"""The stream behind the second block at a text's last token, read without this package."""

from __future__ import annotations

import pytest
import torch
from no_collection import no_collection

from inversescope.subject import Subject


def by_plain_hooks(folder: str, text: str) -> torch.Tensor:
    """By a forward hook of torch."""
    subject, seen = _subject(folder), []
    hook = subject.model.model.layers[1].register_forward_hook(lambda module, given, output: seen.append(output))
    with torch.no_grad():
        subject.model(torch.tensor([subject.encode(text)]))
    hook.remove()
    output = seen[0] if isinstance(seen[0], torch.Tensor) else seen[0][0]
    return output[0, -1]


def by_transformer_lens(folder: str, text: str) -> torch.Tensor:
    """By TransformerLens, which changes the model."""
    lens = pytest.importorskip("transformer_lens.model_bridge")
    subject = _subject(folder)
    tokenizer = subject.tokenizer.tokenizer if hasattr(subject.tokenizer, "tokenizer") else None
    bridge = lens.TransformerBridge.boot_transformers(folder, hf_model=subject.model, tokenizer=tokenizer, device="cpu")
    _, cache = bridge.run_with_cache(torch.tensor([subject.encode(text)]))
    return cache["blocks.1.hook_resid_post"][0, -1].detach()


def by_nnsight(folder: str, text: str) -> torch.Tensor:
    """By nnsight."""
    nnsight = pytest.importorskip("nnsight")
    subject = _subject(folder)
    traced = nnsight.NNsight(subject.model)
    with no_collection(), traced.trace(torch.tensor([subject.encode(text)])):
        stream = traced.get("model.layers.1").output.save()
    return (stream if isinstance(stream, torch.Tensor) else stream[0])[0, -1].detach()


READERS = (by_plain_hooks, by_nnsight, by_transformer_lens)


def _subject(folder: str) -> Subject:
    return Subject.load(folder, device="cpu", dtype="float32")
