"""Records of the steps `collect` and `reference`: inputs, activations, distances."""

from __future__ import annotations

from inversescope.records.record import SITE, Record, Room, column, document, key, table

INPUTS = table(
    "collect/inputs.parquet",
    "One row an input. No input is in two splits, except where the pool is the whole prior, which then holds the "
    "targets too.",
    column("split", "string", "`train`, `pool` or `target`"),
    column("row", "int32", "row within the split; row i of a split's activations belongs to it"),
    column("tokens", "list of int32", "the input, prefix included"),
    column(
        "text",
        "string",
        "the same for people, prefix dropped; a token without a glyph is named in ‹›, as ‹\\|endoftext\\|› or ‹0xE2›",
    ),
    column(
        "probability",
        "float64?",
        "P(x) of the pool's inputs where they are every input of the prior; null for draws",
    ),
    labels=True,
)
SHARDS = document(
    "collect/shards.json",
    "A list with an entry for each shard that is written. Shards of the same rows hold different sites.",
    key("file", "its name"),
    key("split", "its split"),
    key("start, rows", "its first row in the split, and the number of its rows"),
    key("sha256", "its hash"),
)
STATISTICS = Record(
    "collect/statistics.safetensors",
    "`SITE.mean` and `SITE.deviation` over the pool, of which `inputs.parquet` has the count",
)
NOISE_FLOOR = table(
    "collect/noise_floor.parquet",
    "One row a site: δ between two readings of the same inputs of the pool, the stored one and one in another batch.",
    SITE,
    column("inputs", "int32", "inputs that were read again"),
    column("median", "float64", "median δ"),
    column("floor", "float64", "95% quantile of δ: the subject's own rounding, below which no distance means anything"),
)
DISTANCES = Record(
    "reference/distances.safetensors",
    "for each site, named by its address, δ between every input of the pool and every target, float32 [pool, targets]",
)
NEAREST = Record(
    "reference/nearest.safetensors",
    "for each site δ of up to 1,024 inputs of the pool to their nearest other input, rising, float64",
)
TARGETS = table(
    "reference/targets.parquet",
    "One row a site and target: its distance to the nearest input of the pool, itself left out.",
    SITE,
    column("target", "int32", "row in the split `target`"),
    column("outside", "bool", "it is farther than the limit: outside of the prior"),
    column("nearest", "float64", "δ to the nearest input"),
    column("limit", "float64", "δ to the nearest other input, at most, of 99 in 100 inputs of the pool"),
    column("p_value", "float64", "share of inputs that are as far from their nearest, this one among them"),
)
KNOWN = table(
    "reference/known.parquet",
    "One row a row of `pool`, and a distinct input of `train` or `target` that the pool lacks: the shares with which "
    "they count in the reference. Only where the task knows P, the pool is not the whole prior, and the inputs of "
    "`train` and `target` are a hundredth of it or more.",
    column("split", "string", "`pool`, `train` or `target`"),
    column("row", "int32", "row within the split"),
    column("share", "float64", "P(x); of a row of the pool, the part of the rest of the prior that it stands for"),
    always=False,
)
KNOWN_DISTANCES = Record(
    "reference/known_distances.safetensors",
    "for each of the generator's sites, δ between every input of `train` or `target` in `known.parquet`, in its order, "
    "and every target, float32 [known, targets]",
    always=False,
)
BANDWIDTHS = table(
    "reference/bandwidths.parquet",
    "One row a site and level: a resolution of `sample.resolutions`, or a bandwidth of `sample.bandwidths`. Numbers "
    "are medians over inputs of the pool that stand in for targets.",
    SITE,
    column("resolution", "float64?", "N: one input in N of the prior remains; null where the bandwidth was set itself"),
    column("bandwidth", "float64?", "h; null for a resolution that the pool does not reach at this site"),
    column(
        "channel",
        "float64?",
        "bandwidth of the generator's noise channel that leaves as many inputs, at which it draws; null where the "
        "channel is of the run's distance and kernel, so that it draws at h, and at sites that it does not serve",
    ),
    column(
        "bits",
        "float64?",
        "log₂ of one over the share of the prior that remains, log₂ N at a resolution; null where too little remains "
        "to be measured",
    ),
    column("pool_inputs", "float64?", "effective number of the pool's inputs that remain; null where there is no h"),
    column(
        "prior_inputs",
        "float64?",
        "effective number of the prior's inputs that remain; null where `bits` is, and where the prior is too large "
        "to be enumerated",
    ),
)

COLLECT = Room(
    "collect",
    """`train` is read at the generator's sites; `pool` and `target` at all. With `collect.train = "all"` there is no
split `train`: it is the pool.

The step reads the sites and rows that no shard holds yet: the rest after an interruption, which costs one shard at
most, and what `inversescope extend` added, more inputs (behind those of their split) or more sites. Activations of one
shard are in memory at a time, whatever the number of inputs; tokens and labels of all inputs are, about a kilobyte
each. The step prints how much it will write to the disk before it starts, and stops where that does not fit.""",
    (
        INPUTS,
        Record(
            "collect/SPLIT-ROW-SHORT.safetensors",
            "a shard, named by its first row and a short hash of its inputs and sites: one float32 tensor "
            "[rows, coordinates] for each site, named by its address, in the subject's own units",
        ),
        SHARDS,
        STATISTICS,
        NOISE_FLOOR,
    ),
)
REFERENCE = Room("reference", "", (DISTANCES, KNOWN, KNOWN_DISTANCES, BANDWIDTHS, NEAREST, TARGETS))
