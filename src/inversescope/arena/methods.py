"""The methods by name, in the order of the tables."""

from __future__ import annotations

from collections.abc import Sequence

from inversescope.arena import latents, probes
from inversescope.arena.decoding import LogitLens, SelfDecoding
from inversescope.arena.description import Description
from inversescope.arena.generated import Edited, Free, Generated
from inversescope.arena.gradient import GradientSearch
from inversescope.arena.method import Method
from inversescope.arena.natural import Natural
from inversescope.arena.retrieval import Retrieved
from inversescope.arena.stored import Stored
from inversescope.arena.supervised import Supervised, one_by_one
from inversescope.arena.tuned_lens import TunedLens
from inversescope.errors import UserError

NATURAL = ("text draws", "text nearest", "stored x1", "stored x4", "stored x16", "own text", "gradient search")
LINEAR = ("linear probe", "all latents")  # by scikit-learn
# InversionView's decoder (arXiv 2405.17653) knows no noise: it is trained on activations as they are, that is at a
# width too small to matter, nearly always with a condition, by the optimizers that ours has: faster than its AdamW.
INVERSIONVIEW = (
    ("generator.encoder", "residual"),
    ("generator.conditioning", "slot"),
    ("train.clean", 0.0),
    ("train.emulate", False),
    ("train.bandwidths", (0.001, 0.0011)),
    ("train.unconditional", 0.01),
    ("sample.resolutions", ()),
    ("sample.bandwidths", (0.001,)),
)

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Generated("ours", "training inputs with their activations"),
        Generated("ours weighted", "training inputs with their activations", "weighted", beside="ours"),
        Generated("inversionview", "training inputs with their activations", settings=INVERSIONVIEW, bandwidths=False),
        Retrieved("reference"),
        Retrieved("nearest"),
        Free(),
        Edited(),
        Supervised("linear probe", one_by_one(probes.linear)),
        Supervised("mlp probe", one_by_one(probes.network)),
        Supervised("difference of means", one_by_one(probes.means)),
        Supervised("sae latents", latents.single),
        Supervised("all latents", latents.together),
        Natural("text draws", nearest=False),
        Natural("text nearest", nearest=True),
        Stored("stored x1", 1),
        Stored("stored x4", 4),
        Stored("stored x16", 16),
        Stored("own text", own_text=True),
        LogitLens(),
        TunedLens(),
        SelfDecoding(),
        Description(),
        GradientSearch(),
    )
}


def chosen(names: Sequence[str], natural: bool) -> list[Method]:
    """The methods of these names, or all where none is given, in the order of the tables; of all, those of natural text
    only if the run has sites for it (`natural`).

    Raises:
        UserError: there is no method of a name, its library is missing, or it needs natural text and there is none.
    """
    for name in names:
        if name not in METHODS:
            raise UserError("there is no such method", given=name, allowed=", ".join(METHODS))
        if name in NATURAL and not natural:
            raise UserError(
                "this method needs sites for natural text, and the run's config names none",
                given=name,
                remedy="a run whose config has text.sites (inversescope arena facts), or the other methods",
            )
    left_out = () if natural else NATURAL
    methods = [method for name, method in METHODS.items() if (name in names if names else name not in left_out)]
    if any(method.name in LINEAR for method in methods):
        probes.regression()  # missing now rather than after the training of the others
    return methods
