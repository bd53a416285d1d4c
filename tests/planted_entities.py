"""A world of entities, and a model of it set by hand, of which Cause and Isolate are known at every site.

Each animal has a colour and a size. Layer 0 carries the colour from the animal to what stands behind, layer 1 the size.
So, at the animal's last token: in `embed` both are still to be read; after layer 0 the colour has left, and only the
size is still read from there; after layer 1 nothing is.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

from planted_models import Handmade

COLOURS, SIZES, TWINS = ("red", "grey"), ("big", "small"), ("cat", "dog")
ANIMALS = {
    f"{twin}{number}": {"colour": colour, "size": size}
    for twin in TWINS
    for number, (colour, size) in enumerate(product(COLOURS, SIZES))
}
CONTEXTS = ("a %s", "the %s", "that %s", "this %s")
QUESTIONS = {"colour": ("a %s Colour", "the %s Colour"), "size": ("a %s Size", "the %s Size")}

CONFIG = """\
[subject]
model = "{folder}/model"
device = "cpu"
dtype = "float32"

[task]
name = "animals"
file = "{file}"

[collect]
sites = ["embed", "resid_post.*"]
train = "all"
pool = "all"
targets = 8

[generator]
sites = ["embed", "resid_post.*"]
width = 16
layers = 1
heads = 2

[train]
steps = {steps}
batch = 32
clean = 0.8

[sample]
bandwidths = [0.1, 0.5]
samples = 12
"""


def planted_model() -> Handmade:
    """An animal's embedding says its colour and its size, and which twin it is; a word of a context says which one."""
    starts = [context.split()[0] for context in CONTEXTS]
    made = Handmade(
        [*starts, *ANIMALS, "Colour", "Size", *COLOURS, *SIZES],
        ["colour", "size", "twin", "told_colour", "told_size", "start"],
        layers=2,
    )
    for number, start in enumerate(starts):
        made.embed(start, start=number)
    for animal, values in ANIMALS.items():
        signs = {"colour": values["colour"] == "red", "size": values["size"] == "big", "twin": animal.startswith("cat")}
        made.embed(animal, **{name: 1.0 if sign else -1.0 for name, sign in signs.items()})
    made.attend(0, 0, {"colour": "told_colour", "start": "start"}, scale=4)
    made.attend(1, 0, {"size": "told_size"}, scale=4)
    for word, weights in {
        "red": {"told_colour": 1}, "grey": {"told_colour": -1}, "big": {"told_size": 1}, "small": {"told_size": -1},
    }.items():  # fmt: skip
        made.unembed(word, **weights)
    return made


def write_animals(folder: Path, steps: int = 40) -> Path:
    """The model and a config for it; the path of the config."""
    planted_model().save(folder / "model", 0)
    config = folder / "animals.toml"
    config.write_text(
        CONFIG.format(folder=folder, file=Path(__file__).with_name("planted_entities_task.py"), steps=steps)
    )
    return config
