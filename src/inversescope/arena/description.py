"""The subject's own description: a question about a text in which the activation stands for the text.

Untrained, after LatentQA and SelfIE. Dimensions: `n` activations, `d` coordinates of a site, `labels` of a feature.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from inversescope.arena.cost import Cost
from inversescope.arena.decoding import first_tokens
from inversescope.arena.method import Answer, Kind, classified
from inversescope.arena.study import Study
from inversescope.progress import Progress
from inversescope.score.labelled_feature import Feature
from inversescope.sites import Site
from inversescope.subject import Subject
from inversescope.subject.patching import Source, unsettable

TEXT = "Text: ?"  # the activation is put in place of that of its last token
QUESTION = "\nQuestion: Which {feature} does the text have: {labels}?\nAnswer:"


@dataclass(frozen=True)
class Description:
    """Answers of the subject to a question about each feature: a label is as likely as its word behind the question,
    over how likely it is without the activation.
    """

    name: str = "own description"
    sees: str = "the labels as words, and the subject"
    kind: Kind = "decoder"
    supervised: bool = False

    def answer(self, study: Study, folder: Path, cost: Cost, progress: Progress) -> Iterator[Answer]:
        """Probabilities of the labels' words, if they differ in their first token."""
        subject, total = study.run.subject, len(study.sites) * len(study.features)
        done = 0
        for site in study.sites:
            reason = unsettable(subject, site)
            if reason is not None:
                cost.notes.append(reason)
            for feature in study.features:
                tokens = first_tokens(feature, subject)
                if tokens is None:
                    cost.notes.append(f"{feature.name}: the labels' words begin alike")
                elif reason is None:
                    activations = study.run.store.activations("target", site)
                    with cost.answer():
                        shares = described(subject, site, activations, feature, tokens)
                    yield classified(feature, site, shares)
                done += 1
                progress(done, total, "questions")


def described(
    subject: Subject, site: Site, activations: Float[Tensor, "n d"], feature: Feature, tokens: list[int]
) -> Float[ndarray, "n labels"]:
    """Probability of each label's first token behind the question, relative to that without an activation."""
    question = QUESTION.format(feature=feature.name, labels=", ".join(feature.values))
    start = subject.encode(TEXT)
    prompt = [*start, *subject.encode(question)[len(subject.prefix) :]]
    source = Source(subject, prompt, len(start) - 1)
    logits = source.logits([{}, *({site: activation} for activation in activations)])[:, tokens].double()
    return torch.softmax(logits[1:] - logits[:1], 1).numpy()
