"""Three worlds of which it is known what each site encodes: every text of the world, its labels, and a model of it.

A feature is *encoded* at a site if texts of different labels have different activations there, however close two texts
of one label may be. It is *erased* if every activation that occurs, occurs with the labels in the prior's own shares:
then no bandwidth, no target and no method can tell more than chance. What is neither is not listed.

Texts are uniform over products of independent slots, so a feature of slots that nothing at the site depends on is
erased exactly, without an appeal to measurement.

What a site encodes is *used* if the output is a function of it, and *unused* if the output does not depend on it once
all else that the site holds is given. Features that follow from each other are listed as neither.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from planted_models import Handmade
from safetensors.torch import save_file

Row = dict[str, str]  # the text, and its labels
Truth = dict[str, tuple[str, ...]]  # site -> features


@dataclass(frozen=True, eq=False)
class World:
    """Of each text the model must say the `answers` to its label `asked`; `probe` is a coordinate of its stream."""

    name: str
    rows: list[Row]
    build: Callable[[], Handmade]
    encoded: Truth
    erased: Truth
    used: Truth
    unused: Truth
    asked: str
    answers: dict[str, str]
    probe: str

    @property
    def sites(self) -> list[str]:
        """All sites of which something is known."""
        return list(dict.fromkeys([*self.encoded, *self.erased]))


def _bits() -> Handmade:
    """An even head counts the ones, an MLP makes their parity of the count, the next one takes all but it away.

    Eight tokens with the start, so the mean is a multiple of 1/8 and 8 times it is the count, without rounding. Parity
    is the zigzag max(0, c) − 2 max(0, c − 1) + 2 max(0, c − 2) − ..., which is 0 at even c and 1 at odd c, written as
    −1 and 1.
    """
    made = Handmade(["0", "1", "even", "odd"], ["bit", "count", "parity"], layers=2)
    made.embed("1", bit=1)
    made.attend(0, 0, {"bit": "count"}, scale=8)
    made.unit(0, {"one": 1}, {"parity": -1})
    for step in range(7):
        made.unit(0, {"count": 1, "one": -step}, {"parity": 2 if step == 0 else 4 * (-1) ** step})
    made.unit(1, {"bit": 1}, {"bit": -1})
    made.unit(1, {"count": 1}, {"count": -1})
    made.unembed("even", parity=-1)
    made.unembed("odd", parity=1)
    return made


def _vowels() -> Handmade:
    """Layer 0 does nothing. A head of layer 1 looks back to the nearest vowel and copies which one it is; its MLP takes
    the last letter away.
    """
    made = Handmade(["a", "o", "t", "r", "A", "O"], ["a", "o", "t", "r", "vowel_a", "vowel_o"], layers=2)
    for letter in "aotr":
        made.embed(letter, **{letter: 1})
        made.unit(1, {letter: 1}, {letter: -1})
    made.look_back(1, 0, {"a": 1, "o": 1})
    made.attend(1, 0, {"a": "vowel_a", "o": "vowel_o"})
    made.unembed("A", vowel_a=1)
    made.unembed("O", vowel_o=1)
    return made


ANIMALS, COLOURS, VERBS = ("cat", "dog", "fox"), ("red", "grey"), ("sat", "ran")


def _sentences() -> Handmade:
    """Two even heads write the noun's number and its animal into two subspaces. The output reads the first alone.

    "big" and "large" are twins: one embedding, so that nothing behind it can tell which was there. Colour and verb are
    embedded, and no head reads them. The last token is always the same, and the position is in no embedding.
    """
    coordinates = ["size", *COLOURS, *VERBS, *ANIMALS, "number", "told_number", *(f"told_{name}" for name in ANIMALS)]
    nouns = [name + ending for name in ANIMALS for ending in ("", "s")]
    made = Handmade(["big", "large", *COLOURS, *nouns, *VERBS, ".", "It", "They"], coordinates, layers=1)
    for twin in ("big", "large"):
        made.embed(twin, size=1)
    for word in (*COLOURS, *VERBS):
        made.embed(word, **{word: 1})
    for name in ANIMALS:
        made.embed(name, **{name: 1, "number": -1})
        made.embed(f"{name}s", **{name: 1, "number": 1})
    made.attend(0, 0, {"number": "told_number"}, scale=6)
    made.attend(0, 1, {name: f"told_{name}" for name in ANIMALS}, scale=6)
    made.unembed("It", told_number=-1)
    made.unembed("They", told_number=1)
    return made


def _bit_rows() -> list[Row]:
    return [
        {"text": " ".join(bits), "parity": str(bits.count("1") % 2), "count": str(bits.count("1"))}
        | {"first": bits[0], "last": bits[-1]}
        for bits in product("01", repeat=7)
    ]


def _vowel_rows() -> list[Row]:
    """A consonant, then four letters of which at least one is a vowel: the first letter is independent of the rest."""
    texts = [(first, *rest) for first in "tr" for rest in product("aotr", repeat=4) if {*rest} & {*"ao"}]
    return [
        {"text": " ".join(letters), "vowel": [letter for letter in letters if letter in "ao"][-1]}
        | {"first": letters[0], "last": letters[-1]}
        for letters in texts
    ]


def _sentence_rows() -> list[Row]:
    return [
        {"text": f"{size} {colour} {animal}{ending} {verb} .", "size": size, "colour": colour, "animal": animal}
        | {"number": "many" if ending else "one", "verb": verb}
        for size, colour, animal, ending, verb in product(("big", "large"), COLOURS, ANIMALS, ("", "s"), VERBS)
    ]


BITS = World(
    "bits",
    _bit_rows(),
    _bits,
    # The last token knows its own bit; the head counts; the MLP makes parity; layer 1 leaves nothing else.
    encoded={
        "embed": ("last",),
        "attn_out.0": ("count", "parity"),
        "mlp_out.0": ("parity",),
        "resid_post.0": ("last", "count", "parity"),
        "probe@resid_post.0": ("parity",),
        "resid_post.1": ("parity",),
    },
    # Of seven even bits any one, and the parity, are independent; so are any two.
    erased={
        "embed": ("parity", "first"),
        "mlp_out.0": ("first", "last"),
        "probe@resid_post.0": ("first", "last"),
        "resid_post.1": ("first", "last"),
    },
    # The count at resid_post.0 is read by nothing any more, but parity follows from it; the last bit is taken away.
    used={
        site: ("parity",) for site in ("attn_out.0", "mlp_out.0", "resid_post.0", "probe@resid_post.0", "resid_post.1")
    },
    unused={"resid_post.0": ("last",)},
    asked="parity",
    answers={"0": "even", "1": "odd"},
    probe="parity",
)
VOWELS = World(
    "vowels",
    _vowel_rows(),
    _vowels,
    encoded={
        "resid_post.0": ("last",),
        "z.1.0": ("vowel",),
        "resid_mid.1": ("last", "vowel"),
        "resid_post.1": ("vowel",),
        "probe@resid_post.1": ("vowel",),
    },
    # The first letter is a consonant: no head copies it, and it is never the last.
    erased={
        site: ("first",) for site in ("resid_post.0", "z.1.0", "resid_mid.1", "resid_post.1", "probe@resid_post.1")
    },
    # resid_mid cannot be set. The head reads the last letter, too.
    used={"resid_post.0": ("last",)} | {site: ("vowel",) for site in ("z.1.0", "resid_post.1", "probe@resid_post.1")},
    unused={},
    asked="vowel",
    answers={"a": "A", "o": "O"},
    probe="vowel_a",
)
SENTENCES = World(
    "sentences",
    _sentence_rows(),
    _sentences,
    encoded={
        "z.0.0": ("number",),
        "z.0.1": ("animal",),
        "attn_out.0": ("number", "animal"),
        "resid_post.0": ("number", "animal"),
        "probe@resid_post.0": ("number",),
    },
    erased={
        "z.0.0": ("animal", "size", "colour", "verb"),
        "z.0.1": ("number", "size", "colour", "verb"),
        "attn_out.0": ("size", "colour", "verb"),
        "resid_post.0": ("size", "colour", "verb"),
        "probe@resid_post.0": ("animal", "size", "colour", "verb"),
    },
    used={site: ("number",) for site in ("z.0.0", "attn_out.0", "resid_post.0", "probe@resid_post.0")},
    unused={site: ("animal",) for site in ("z.0.1", "attn_out.0", "resid_post.0")},
    asked="number",
    answers={"one": "It", "many": "They"},
    probe="told_number",
)
WORLDS = (BITS, VOWELS, SENTENCES)

CONFIG = """\
seed = {seed}

[subject]
model = "{folder}/model"
device = "cpu"
dtype = "float32"

[subject.projections]
probe = "{folder}/probe.safetensors"

[task]
name = "texts"
path = "{folder}/texts.jsonl"

[collect]
sites = {sites}
{splits}
targets = 24

[generator]
sites = {sites}
width = 32
layers = 1
heads = 2

[train]
steps = 400
check = 50
batch = 128
clean = 0.8

[calibrate]
targets = 8

[sample]
bandwidths = {bandwidths}
samples = 32
"""


WHOLE = 'train = "all"\npool = "all"'  # every text is read, so that the reference is a sum over the prior
DRAWN = "train = 240\npool = 200"  # of 480: no text is in two splits


def write_world(world: World, folder: Path, seed: int, bandwidths: Sequence[float], splits: str = WHOLE) -> Path:
    """The model, the texts, the probe, and a config for them; the path of the config."""
    folder.mkdir(parents=True, exist_ok=True)
    made = world.build()
    save_file({"probe": made.direction(world.probe, seed).contiguous()}, folder / "probe.safetensors")
    made.save(folder / "model", seed)
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in world.rows))
    config = folder / "config.toml"
    config.write_text(
        CONFIG.format(
            seed=seed, folder=folder, sites=json.dumps(world.sites), splits=splits, bandwidths=list(bandwidths)
        )
    )
    return config
