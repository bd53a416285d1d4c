"""Decoders: the logit lens, and the subject's continuation of a neutral prompt that holds the activation.

Both have a feature's values only as words. Dimensions: `n` activations, `d` coordinates of a site, `width` of the
residual stream, `labels` of a feature.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from inversescope.arena.cost import Cost
from inversescope.arena.method import Answer, Kind, classified
from inversescope.arena.study import Study
from inversescope.progress import Progress
from inversescope.score.labelled_feature import Feature
from inversescope.sites import Site
from inversescope.streams import TorchStream
from inversescope.subject import Subject
from inversescope.subject.architectures import architecture_of
from inversescope.subject.hooks import hook

# Points whose activations are as wide as the residual stream and add to it, or are it.
STREAM = ("embed", "resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post", "final_norm", "result")
WHOLE = ("resid_pre", "resid_post")  # the stream itself, at which a prompt's own can be exchanged
# The identity prompt of Patchscopes (arXiv 2401.06102): the last token's activation gives way to the target's.
PROMPT = "cat -> cat\n1135 -> 1135\nhello -> hello\n?"
WRITTEN = 6  # tokens read behind the prompt
WRITINGS = 4  # drawn for each target
ROWS = 64  # written at once


@dataclass(frozen=True)
class LogitLens:
    """The subject's own last norm and head on an activation of the residual stream (nostalgebraist 2020): a label is as
    likely as the first token of its word, among those of the feature's labels.
    """

    name: str = "logit lens"
    sees: str = "the labels as words, and the subject's head"
    kind: Kind = "decoder"
    supervised: bool = False

    def answer(self, study: Study, folder: Path, cost: Cost, progress: Progress) -> Iterator[Answer]:
        """Probabilities of the labels' words, if they differ in their first token."""
        subject = study.run.subject
        words = {feature.name: first_tokens(feature, subject) for feature in study.features}
        cost.notes += [f"{name}: the labels' words begin alike" for name, tokens in words.items() if tokens is None]
        for site in study.sites:
            if not in_stream(site):
                cost.notes.append(f"{site} is not in the residual stream")
                continue
            with cost.answer():
                logits = _read_out(subject, site, study.run.store.activations("target", site))
            for feature in study.features:
                tokens = words[feature.name]
                if tokens is not None:
                    yield classified(feature, site, logits[:, tokens].double().softmax(1).numpy())


@dataclass(frozen=True)
class SelfDecoding:
    """Continuations of a neutral prompt in which the activation replaces that of the last token, at its own layer
    (Patchscopes, Ghandeharioun et al. 2024). The label that each continuation names first counts.
    """

    name: str = "self-decoding"
    sees: str = "the labels as words, and the subject"
    kind: Kind = "decoder"
    supervised: bool = False

    def answer(self, study: Study, folder: Path, cost: Cost, progress: Progress) -> Iterator[Answer]:
        """Shares of the labels named; NaN for a target of which no continuation names one."""
        subject = study.run.subject
        for done, site in enumerate(study.sites, start=1):
            if site.point not in WHOLE or site.projection or site.parts:
                cost.notes.append(f"{site} cannot stand in a prompt's place: it is not the residual stream")
                continue
            with cost.answer():
                activations = study.run.store.activations("target", site)
                texts = _continuations(subject, site, activations, study.seed)
            for feature in study.features:
                yield classified(feature, site, _named(texts, feature.values))
            progress(done, len(study.sites), "sites")


def first_tokens(feature: Feature, subject: Subject) -> list[int] | None:
    """The first token of each label's word, after a space; None where two labels share it."""
    tokens = [subject.encode(f" {value}")[len(subject.prefix)] for value in feature.values]
    return tokens if len(set(tokens)) == len(tokens) else None


def in_stream(site: Site) -> bool:
    """True for the residual stream, and what is added to it."""
    return site.point in STREAM and not site.projection and not site.parts


@torch.inference_mode()
def _read_out(subject: Subject, site: Site, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n vocabulary"]:
    """The logits that the last norm and the head make of activations."""
    return head_logits(subject, activations.to(subject.device), normed=site.point == "final_norm").float().cpu()


def head_logits(
    subject: Subject, hidden: Float[Tensor, "n width"], normed: bool = False
) -> Float[Tensor, "n vocabulary"]:
    """The subject's last norm, where `normed` is not set, and its head."""
    hidden, norm = hidden.to(subject.dtype), architecture_of(subject.model).last_norm
    if norm and not normed:
        hidden = subject.model.base_model.get_submodule(norm)(hidden)
    return subject.model.get_output_embeddings()(hidden)


def _continuations(subject: Subject, site: Site, activations: Float[Tensor, "n d"], seed: int) -> list[list[str]]:
    """Texts that the subject writes after the prompt, `WRITINGS` for each activation, drawn from its distribution."""
    prompt = torch.tensor([subject.encode(PROMPT)], device=subject.device)
    tap = architecture_of(subject.model).tap(site, subject.shape)
    module = subject.model.base_model.get_submodule(tap.module)
    texts: list[list[str]] = []
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(TorchStream.ARENA.seed(seed))
        for batch in activations.split(max(1, ROWS // WRITINGS)):
            values = (batch / tap.scale).repeat_interleave(WRITINGS, 0)

            def patch(hidden: Tensor, values: Tensor = values) -> Tensor | None:
                if hidden.numel() // hidden.shape[-1] != len(values) * prompt.shape[1]:
                    return None  # a token after the prompt
                changed = hidden.clone(memory_format=torch.contiguous_format)
                changed.view(len(values), -1, hidden.shape[-1])[:, -1] = values.to(changed)
                return changed

            handle = hook(module, tap.side, patch)
            try:
                written = subject.model.generate(
                    prompt.expand(len(batch), -1),
                    attention_mask=torch.ones_like(prompt).expand(len(batch), -1),
                    do_sample=True,
                    top_k=0,
                    temperature=1.0,
                    num_return_sequences=WRITINGS,
                    max_new_tokens=WRITTEN,
                    pad_token_id=int(prompt[0, -1]),
                )
            finally:
                handle.remove()
            rows = [subject.decode(row) for row in written[:, prompt.shape[1] :].tolist()]
            texts += [rows[start : start + WRITINGS] for start in range(0, len(rows), WRITINGS)]
    return texts


def _named(texts: Sequence[Sequence[str]], values: Sequence[str]) -> Float[ndarray, "targets labels"]:
    """The share of each value among the texts that name one, by the one that comes first; NaN where none does."""
    codes = {value.casefold(): code for code, value in enumerate(values)}
    longest_first = sorted(codes, key=len, reverse=True)
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")
    shares = np.zeros((len(texts), len(values)))
    for row, written in zip(shares, texts, strict=True):
        for text in written:
            name = pattern.search(text.casefold())
            if name:
                row[codes[name[0]]] += 1
    total = shares.sum(1, keepdims=True)
    return np.divide(shares, total, out=np.full_like(shares, np.nan), where=total > 0)
