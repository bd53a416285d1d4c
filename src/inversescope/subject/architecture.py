"""Description of an architecture: the places of its parts, and the part that shows each site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from inversescope.errors import UserError
from inversescope.sites import Site, SubjectShape

Side = Literal["input", "output"]

_UNKNOWN = "this architecture is not in the table, and where it keeps this point cannot be found safely"


@dataclass(frozen=True)
class Tap:
    """The module of the base model whose input or output shows a site, and what of it belongs to the site: these
    coordinates, times `scale`.
    """

    module: str
    side: Side
    columns: slice
    scale: float = 1.0


@dataclass(frozen=True)
class Architecture:
    """The dotted module paths of a decoder: `blocks`, `embedding` and `last_norm` within the base model, the others
    within one block. Empty: there is none, or it is not known.

    Attributes:
        qkv: the projections to queries, keys and values, or the one that makes all three.
        fused: how that one lays them out: "stacked", all queries, then all keys, then all values; "grouped", for each
            key/value head its queries, its key and its value.
        projection: the output projection of attention; its input is `z`, all heads side by side.
        down: the map from the MLP's hidden layer back to the residual stream.
        added_attention: the module whose output is added to the residual stream, where that is not `attention`.
        added_mlp: the same for `mlp`.
        middle: the module whose input is the residual stream between attention and MLP.
        scale: what attention's and MLP's outputs are multiplied by before they are added.
        embedding_scale: what the embeddings are multiplied by before the first block.
        refused: why points do not exist.
        packs: a token's activation depends on nothing but its ancestors and the `position_ids` it is given, so that
            inputs may share their prefixes in one row (`packing`).
    """

    blocks: str
    embedding: str = ""
    last_norm: str = ""
    attention: str = ""
    qkv: tuple[str, ...] = ()
    fused: Literal["stacked", "grouped"] | None = None
    projection: str = ""
    mlp: str = ""
    down: str = ""
    added_attention: str = ""
    added_mlp: str = ""
    middle: str = ""
    scale: float = 1.0
    embedding_scale: float = 1.0
    refused: Mapping[str, str] = field(default_factory=dict)
    packs: bool = False

    def has(self, point: str) -> bool:
        """True if there is such a point, and its place is known."""
        return self._place(point) is not None

    def tap(self, site: Site, shape: SubjectShape) -> Tap:
        """The module that shows a single site (its projection aside); `result` is made from what shows `z`.

        Raises:
            UserError: this architecture has no such point, or it is not known where.
        """
        point = site.point
        location = self._place(point)
        if location is None:
            raise UserError(
                f"this subject has no {point} that can be read: {self.refused.get(point, _UNKNOWN)}",
                given=site,
                remedy=None if point in self.refused else "add an entry to inversescope/subject/architectures.py",
            )
        path, side = location
        module = path if site.layer is None else f"{self.blocks}.{site.layer}.{path}".rstrip(".")
        scales = {"embed": self.embedding_scale, "attn_out": self.scale, "mlp_out": self.scale, "result": self.scale}
        return Tap(module, side, self._columns(site, shape), scales.get(point, 1.0))

    def _place(self, point: str) -> tuple[str, Side] | None:
        """The module that shows a point, as a path within the base model or within a block, and the side of it."""
        q, k, v = self.qkv * 3 if len(self.qkv) == 1 else self.qkv or (None, None, None)
        places: dict[str, tuple[str | None, Side]] = {
            "embed": (self.embedding or None, "output"),
            "resid_pre": ("", "input"),
            "q": (q, "output"),
            "k": (k, "output"),
            "v": (v, "output"),
            "z": (self.projection or None, "input"),
            "result": (self.projection or None, "input"),
            "attn_out": (self.added_attention or self.attention or None, "output"),
            "resid_mid": (self.middle or None, "input"),
            "mlp_act": (self.down or None, "input"),
            "mlp_out": (self.added_mlp or self.mlp or None, "output"),
            "resid_post": ("", "output"),
            "final_norm": (self.last_norm or None, "output"),
        }
        path, side = places[point]
        return None if path is None else (path, side)

    def _columns(self, site: Site, shape: SubjectShape) -> slice:
        """The coordinates of one head among those of all; everything where the point is not read per head."""
        if site.head is None:
            return slice(None)
        group, block = shape.heads // shape.key_value_heads, site.head
        if self.fused == "stacked":
            block += {"k": shape.heads, "v": shape.heads + shape.key_value_heads}.get(site.point, 0)
        elif self.fused == "grouped" and site.point == "q":
            block = site.head // group * (group + 2) + site.head % group
        elif self.fused == "grouped" and site.point in ("k", "v"):
            block = site.head * (group + 2) + group + (site.point == "v")
        return slice(block * shape.head_width, (block + 1) * shape.head_width)
