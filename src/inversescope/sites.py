"""Where a subject is read: the address of an activation, its grammar, and the wildcards that select many.

resid_post.15    the residual stream after layer 15
z.3.7            head 7 of layer 3, before the output projection
z.*.*            every head of every layer
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from inversescope.errors import UserError

# In the order in which a block computes them; a later point is deeper. `z` is read per head.
POINTS = ("resid_pre", "z", "attn_out", "resid_mid", "mlp_out", "resid_post")
_GRAMMAR = "resid_pre|resid_mid|resid_post|attn_out|mlp_out.LAYER or z.LAYER.HEAD; '*' stands for every number"


@dataclass(frozen=True)
class SubjectShape:
    """The numbers of a subject that decide which sites exist: layers, heads, widths in coordinates."""

    layers: int
    heads: int
    width: int
    head_width: int


@dataclass(frozen=True)
class Site:
    """One point of one layer (and one head, for `z`). `str(site)` and `Site.parse` are inverse."""

    point: str
    layer: int
    head: int | None = None

    def __str__(self) -> str:
        return f"{self.point}.{self.layer}" if self.head is None else f"{self.point}.{self.layer}.{self.head}"

    @property
    def depth(self) -> tuple[int, int]:
        """(layer, place within the block): sorts sites in the order in which the subject computes them."""
        return self.layer, POINTS.index(self.point)

    def dimension(self, shape: SubjectShape) -> int:
        """d_s, the number of coordinates of the activation."""
        return shape.width if self.head is None else shape.head_width

    @classmethod
    def parse(cls, address: str) -> Site:
        """Read one address without wildcards.

        Raises:
            UserError: the address does not follow the grammar.
        """
        point, numbers = _split(address)
        if "*" in numbers:
            raise UserError("a single site was expected, and a wildcard names many", given=address, allowed=_GRAMMAR)
        return cls(point, *(int(number) for number in numbers))


def select(addresses: Iterable[str], shape: SubjectShape) -> tuple[Site, ...]:
    """The sites that the addresses (wildcards allowed) name in a subject of this shape, each once, in order of depth.

    Raises:
        UserError: an address does not follow the grammar, or names a layer or head that does not exist.
    """
    chosen: set[Site] = set()
    for address in addresses:
        point, numbers = _split(address)
        limits = (("layer", shape.layers), ("head", shape.heads))[: len(numbers)]
        ranges = [_numbers(number, limit, address, name) for number, (name, limit) in zip(numbers, limits, strict=True)]
        if len(ranges) == 1:
            chosen.update(Site(point, layer) for layer in ranges[0])
        else:
            chosen.update(Site(point, layer, head) for layer in ranges[0] for head in ranges[1])
    return tuple(sorted(chosen, key=lambda site: (*site.depth, site.head or 0)))


def _split(address: str) -> tuple[str, Sequence[str]]:
    point, *numbers = address.split(".")
    expected = 2 if point == "z" else 1
    well_formed = all(number == "*" or (number.isascii() and number.isdigit()) for number in numbers)
    canonical = all(number == "*" or number == str(int(number)) for number in numbers) if well_formed else False
    if point not in POINTS or len(numbers) != expected or not canonical:
        raise UserError("this is not the address of a site", given=address, allowed=_GRAMMAR)
    return point, numbers


def _numbers(number: str, limit: int, address: str, name: str) -> range:
    if number == "*":
        return range(limit)
    if int(number) >= limit:
        raise UserError(f"this subject has no {name} {number}", given=address, allowed=f"{name} 0 to {limit - 1}")
    return range(int(number), int(number) + 1)
