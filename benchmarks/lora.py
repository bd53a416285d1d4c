"""Fine-tuning of a small model on pairs of message and reply: low-rank changes of every linear map, merged at the end.

Adapters of PEFT are read by the package as they are; here the merged model is wanted, and twenty lines make it.

Dimensions: `n` texts, `t` tokens, padding included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

IGNORED = -100  # label of a token that is not learned


class LowRank(nn.Module):
    """W + U·D, U and D of a low rank; U begins as 0."""

    def __init__(self, weight: Tensor, rank: int, rng: torch.Generator):
        super().__init__()
        down = torch.randn(rank, weight.shape[1], generator=rng) / weight.shape[1] ** 0.5
        self.down = nn.Parameter(down.to(weight))
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank).to(weight))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


def fine_tune(
    model: Any,
    texts: Sequence[tuple[list[int], list[int]]],
    *,
    steps: int,
    rate: float,
    batch: int,
    rank: int,
    seed: int,
) -> float:
    """Train the replies of texts (tokens of a prompt, of its reply) into the model; the mean loss of the last steps."""
    rng = torch.Generator().manual_seed(seed)
    head = model.get_output_embeddings()
    linear = [module for module in model.modules() if isinstance(module, nn.Linear) and module is not head]
    model.requires_grad_(False)
    for module in linear:
        parametrize.register_parametrization(module, "weight", LowRank(module.weight, rank, rng))
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer, losses = torch.optim.AdamW(weights, lr=rate, weight_decay=0.0), []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 10) * (1 - step / steps)
        rows = torch.randint(len(texts), (batch,), generator=rng).tolist()
        loss = _loss(model, [texts[row] for row in rows])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    for module in linear:
        parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    model.requires_grad_(False)
    return sum(losses[-10:]) / len(losses[-10:])


def _loss(model: Any, texts: Sequence[tuple[list[int], list[int]]]) -> Tensor:
    """Mean loss of the replies' tokens."""
    longest = max(len(prompt) + len(reply) for prompt, reply in texts)
    tokens = torch.zeros(len(texts), longest, dtype=torch.long)
    labels = torch.full_like(tokens, IGNORED)
    mask = torch.zeros_like(tokens)
    for row, (prompt, reply) in enumerate(texts):
        end = len(prompt) + len(reply)
        tokens[row, :end], mask[row, :end] = torch.tensor([*prompt, *reply]), 1
        labels[row, len(prompt) : end] = torch.tensor(reply)
    tokens, labels, mask = (each.to(model.device) for each in (tokens, labels, mask))
    hidden = model.base_model(input_ids=tokens, attention_mask=mask, use_cache=False).last_hidden_state[:, :-1]
    learned = labels[:, 1:] != IGNORED
    return F.cross_entropy(model.get_output_embeddings()(hidden[learned]).float(), labels[:, 1:][learned])
