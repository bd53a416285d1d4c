"""Records of the step `train`: the generator and the losses of its training."""

from __future__ import annotations

from inversescope.records.record import Record, Room, column, document, key, table

LOSSES = table(
    "train/losses.parquet",
    "One row a training step.",
    column("step", "int32", "number of the step, from 1"),
    column("nats", "float64", "mean loss of an input, nats"),
    always=False,
)
GENERATOR = document(
    "train/generator.json",
    "The generator's shape.",
    key(
        "phrases",
        "the generator's vocabulary: each a token of the subject and those that must follow it",
    ),
    key("prefix", "the tokens with which every input starts, which are not written"),
    key("positions", "the length of its inputs, the end included"),
    key("sites", "coordinates of each site"),
    key("bandwidths", "the smallest and the largest h that each site is trained for"),
    key("stored", "number of training inputs whose activations it keeps"),
    key("indicators", "number of indicator features of each kind"),
    key("encoder, conditioning", "as in the config"),
    key("width, layers, heads", "of the decoder"),
    always=False,
)

TRAIN = Room(
    "train",
    "A run without a generator has none of these files.",
    (
        Record(
            "train/generator.safetensors",
            "the generator's weights, and the fitted values of its encoders",
            always=False,
        ),
        GENERATOR,
        LOSSES,
        Record("train/checkpoint.pt", "only while training goes on: its state after the last checkpoint", always=False),
        Record("train/checkpoint-before.pt", "the same, one checkpoint earlier", always=False),
        Record("train/checkpoint-fitted.pt", "the same: what was fitted before the first step", always=False),
    ),
)
