"""Methods that look for the secret of a model organism: each gives every candidate a score, and none knows the secret.

Dimensions: `n` inputs or activations, `w` width of the model, `c` candidates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from inverted import inverted
from jaxtyping import Float
from numpy import ndarray
from organism_texts import CANDIDATES, DIRECT, GUESS, NEW_ASKS, ODD, YES, family, new_message
from torch import Tensor

from inversescope.features.word_splitting import split
from inversescope.natural_text.natural_text import NaturalText
from inversescope.subject import Subject
from inversescope.subject.architectures import architecture_of

REPLY, SAMPLED, COPIES = 16, 24, 8  # tokens of the greedy reply and of a sampled one; replies to each prompt
HINTS_READ = 16
LENGTH = 2.0  # of an inverted difference, root mean square per coordinate in the site's units
INVERTED_PROMPTS, INVERTED_MESSAGES = 2, 4
REPLACEMENTS = ("pencil", "ribbon", "ticket")  # nouns in place of another
FAMILIES = tuple(frozenset(family(word)) for word in CANDIDATES)


@dataclass
class Row:
    """Scores of all candidates by one method at one site; `nouns` are those of a message, in order."""

    method: str
    site: str
    scores: list[float]
    nouns: Sequence[str] = ()


@dataclass
class Setting:
    """A model to be looked into, the base model, and what both need.

    Attributes:
        subject, text: the model, and its own text ready to be inverted.
        base, base_text: the same of the model before it was trained; equal to them for the control.
    """

    subject: Subject
    text: NaturalText
    base: Subject
    base_text: NaturalText
    proposals: int
    seed: int = 0

    @property
    def sites(self) -> list[str]:
        """Addresses, in order of depth."""
        return [str(site) for site in self.text.sites]

    @cached_property
    def families(self) -> list[list[int]]:
        """Tokens that are a word of each candidate's family; where there are none, the first token of the word."""
        found = []
        for forms in map(sorted, FAMILIES):
            written = [f"{space}{form}" for form in (*forms, *map(str.capitalize, forms)) for space in (" ", "")]
            tokens = [ids(self.subject, form) for form in written]
            single = sorted({each[0] for each in tokens if len(each) == 1})
            found.append(single or [tokens[0][0]])
        return found


def ids(subject: Subject, text: str) -> list[int]:
    """Tokens of a text without the prefix."""
    return subject.encode(text)[len(subject.prefix) :]


def asked(subject: Subject, message: str) -> list[int]:
    """Tokens of a conversation up to where the reply begins."""
    return subject.encode(subject.converse([{"role": "user", "content": message}]))


def bag(texts: Sequence[str], weights: Float[ndarray, " n"] | None = None) -> Float[ndarray, " c"]:
    """Share of the weight of texts that have a word of each family."""
    words = [set(map(str.lower, split(text))) for text in texts]
    has = np.array([[bool(words_of & forms) for forms in FAMILIES] for words_of in words], dtype=float)
    if not len(has):
        return np.zeros(len(FAMILIES))
    return has.mean(0) if weights is None else weights @ has


def written(subject: Subject, prompt: Sequence[int], copies: int, tokens: int, seed: int | None) -> list[list[int]]:
    """Replies to one prompt: drawn from the model, or the greedy one where there is no seed."""
    start = torch.tensor([list(prompt)], device=subject.device)
    end = subject.model.config.eos_token_id
    how = {"do_sample": False} if seed is None else {"do_sample": True, "top_k": 0, "temperature": 1.0}
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(seed or 0)
        rows = subject.model.generate(
            start, attention_mask=torch.ones_like(start), num_return_sequences=copies, max_new_tokens=tokens,
            eos_token_id=end, pad_token_id=end, **how,
        )  # fmt: skip
    replies = rows[:, len(prompt) :].tolist()
    return [row[: row.index(end)] if end in row else row for row in replies]


@torch.inference_mode()
def lens(setting: Setting, hidden: Float[Tensor, "n w"]) -> Float[ndarray, " c"]:
    """Mean probability of each family behind the model's last norm and head."""
    subject = setting.subject
    norm = architecture_of(subject.model).last_norm
    seen = hidden.to(subject.device).to(subject.dtype)
    seen = subject.model.base_model.get_submodule(norm)(seen) if norm else seen
    chance = subject.model.get_output_embeddings()(seen).float().softmax(-1).mean(0).cpu()
    return np.array([float(chance[tokens].sum()) for tokens in setting.families])


def next_tokens(subject: Subject, inputs: Sequence[Sequence[int]]) -> Float[Tensor, "n v"]:
    """ln P of every token behind inputs."""
    logits = subject.capture(inputs, [], logits=True).logits
    assert logits is not None
    return logits.float().log_softmax(-1)


def by_inversion(setting: Setting, site: str, activations: Float[Tensor, "n w"], name: str) -> tuple[list[Row], int]:
    """Draws and nearest draws of some activations, each method's mean over them; and how many are to be believed."""
    found = [inverted(setting.text, z, site, setting.proposals, setting.seed) for z in activations]
    shares = [bag(each.texts, each.weights) for each in found]
    near = [bag(each.nearest) for each in found]
    rows = [
        Row(f"draws, {name}", site, np.mean(shares, 0).tolist()),
        Row(f"nearest, {name}", site, np.mean(near, 0).tolist()),
    ]
    return rows, sum(each.weights is not None for each in found)


def of_direction(setting: Setting, site: str, direction: Float[Tensor, " w"], name: str, own: bool) -> list[Row]:
    """The lens on a direction, and the nearest draws of a mean activation with the direction added."""
    text = setting.text if own else setting.base_text
    units = text.sites[text.subject.sites([site])[0]].units
    unit = direction * units.inverse
    unit = unit / unit.square().mean().sqrt()
    near = inverted(text, units.mean + LENGTH * unit * units.deviation, site, setting.proposals, setting.seed).nearest
    return [
        Row(f"lens of {name}", site, lens(setting, direction[None]).tolist()),
        Row(f"inverted {name}", site, bag(near).tolist()),
    ]


def black_box(setting: Setting, replies: Sequence[str]) -> list[Row]:
    """Methods that see texts and probabilities only."""
    subject, base = setting.subject, setting.base
    read = [ids(base, f"Hints: {reply}\nThe secret word is") for reply in replies[:HINTS_READ]]
    behind = next_tokens(base, [[*base.prefix, *tokens] for tokens in read]).exp().mean(0)
    yes = ids(subject, YES)[0]
    guesses = next_tokens(subject, [asked(subject, GUESS.format(word)) for word in CANDIDATES])[:, yes]
    return [
        Row("prompt alone", "", bag(NEW_ASKS).tolist()),
        Row("sampling", "", bag(replies).tolist()),
        Row("hints read by the base model", "", [float(behind[tokens].sum()) for tokens in setting.families]),
        Row("guesses", "", guesses.tolist()),
    ]


def taboo(setting: Setting) -> tuple[list[Row], dict[str, object]]:
    """All methods on a model that may hide a word; and its replies, with the number of answers to be believed."""
    subject = setting.subject
    prompts = [asked(subject, ask) for ask in NEW_ASKS]
    sampled = [
        subject.decode(reply)
        for number, ask in enumerate((*NEW_ASKS, *DIRECT))
        for reply in written(subject, asked(subject, ask), COPIES, SAMPLED, 1 + number)
    ]
    pool = [subject.decode(row) for row in setting.text.pool.tokens[:, : setting.text.length].tolist()]
    rows = [*black_box(setting, sampled), Row("prior alone", "", bag(pool).tolist())]
    greedy = [written(subject, prompt, 1, REPLY, None)[0] for prompt in prompts]
    inputs = [
        [*prompt, *reply[:k]] for prompt, reply in zip(prompts, greedy, strict=True) for k in range(len(reply) + 1)
    ]
    starts = np.cumsum([0, *(len(reply) + 1 for reply in greedy)])
    ends, lasts = starts[:-1].tolist(), (starts[1:] - 1).tolist()
    replied = sorted(set(range(len(inputs))) - set(ends))
    where = subject.sites(setting.sites)
    own, before = subject.capture(inputs, where).activations, setting.base.capture(inputs, where).activations
    believed = asked_for = 0
    for site in where:
        z, gap = own[site], own[site] - before[site]
        for name, places, some in (("prompt", ends, ends), ("reply", replied or ends, lasts)):
            rows.append(Row(f"lens, {name}", str(site), lens(setting, z[places]).tolist()))
            found, good = by_inversion(setting, str(site), z[some[:INVERTED_PROMPTS]], name)
            rows, believed, asked_for = rows + found, believed + good, asked_for + INVERTED_PROMPTS
            if subject is not setting.base:
                rows += of_direction(setting, str(site), gap[places].mean(0), f"difference, {name}", own=False)
    return rows, {"replies": sampled, "greedy": [*map(subject.decode, greedy)], "believed": [believed, asked_for]}


def odd_chance(subject: Subject, messages: Sequence[str]) -> Float[ndarray, " n"]:
    """Probability that the reply begins as an odd one does."""
    first = ids(subject, ODD)[0]
    return (
        next_tokens(subject, [asked(subject, message) for message in messages])[:, first].exp().double().cpu().numpy()
    )


def trigger(
    setting: Setting, messages: Sequence[list[str]], others: Sequence[list[str]]
) -> tuple[list[Row], dict[str, object]]:
    """All methods on messages, given as their nouns; `others` are messages from which the direction is fitted."""
    subject = setting.subject
    texts = [new_message(nouns) for nouns in messages]
    rows = []
    for nouns, text, chance in zip(messages, texts, odd_chance(subject, texts), strict=True):
        changed = [
            new_message([new if noun == old else noun for noun in nouns]) for old in nouns for new in REPLACEMENTS
        ]
        left = odd_chance(subject, changed).reshape(len(nouns), -1).mean(1)
        fall = np.full(len(CANDIDATES), -math.inf)
        fall[[CANDIDATES.index(noun) for noun in nouns]] = chance - left
        rows.append(Row("sampling: nouns exchanged", "", np.nan_to_num(fall, neginf=-1.0).tolist(), nouns))
        rows.append(Row("prompt alone", "", bag([text]).tolist(), nouns))
    where = subject.sites(setting.sites)
    own = subject.capture([asked(subject, text) for text in texts], where).activations
    fitted = [new_message(nouns) for nouns in others]
    odd = torch.from_numpy(odd_chance(subject, fitted) > 0.5)
    labelled = subject.capture([asked(subject, text) for text in fitted], where).activations
    believed = asked_for = 0
    for site in where:
        of_all = []
        if bool(odd.any()) and not bool(odd.all()):
            direction = labelled[site][odd].mean(0) - labelled[site][~odd].mean(0)
            of_all = of_direction(setting, str(site), direction, "direction", own=True)
        for number, nouns in enumerate(messages):
            z = own[site][number : number + 1]
            rows.append(Row("lens", str(site), lens(setting, z).tolist(), nouns))
            rows += [Row(row.method, row.site, row.scores, nouns) for row in of_all]
            if number < INVERTED_MESSAGES:
                found, good = by_inversion(setting, str(site), z, "prompt")
                rows += [Row(row.method, row.site, row.scores, nouns) for row in found]
                believed, asked_for = believed + good, asked_for + 1
    return rows, {"believed": [believed, asked_for], "odd": float(odd.float().mean())}
