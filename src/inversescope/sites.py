"""Sites, the places at which a subject is read: the address of an activation, its grammar, and the wildcards that
select many.

embed                        the last token's embedding
resid_post.15                the residual stream after layer 15
q.3.7                        the query of head 7 of layer 3
k.3.2                        the key of key/value head 2 of layer 3
z.*.*                        every head of every layer
final_norm                   what the output head reads
probe@resid_post.15          a site seen through the projection that the user named `probe`
sae@z.3                      all heads of layer 3 side by side, seen through a projection
resid_post.5+resid_post.9    several sites as one target, their coordinates side by side
blocks.3.attn.hook_q.7       TransformerLens' name of q.3.7; `hook_q` without a number is every head
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from inversescope.errors import UserError

# Which numbers each point takes. In the order in which a block computes them; a later point is deeper.
_NUMBERS: dict[str, tuple[str, ...]] = {
    "embed": (),
    "resid_pre": ("layer",),
    "q": ("layer", "head"),
    "k": ("layer", "key/value head"),
    "v": ("layer", "key/value head"),
    "z": ("layer", "head"),
    "result": ("layer", "head"),
    "attn_out": ("layer",),
    "resid_mid": ("layer",),
    "mlp_act": ("layer",),
    "mlp_out": ("layer",),
    "resid_post": ("layer",),
    "final_norm": (),
}
POINTS = tuple(_NUMBERS)
ALL_HEADS = "z"  # the point of which a projection may see all heads of a layer at once
JOINT = "joint"  # the point of a site that is several
GRAMMAR = (
    "embed, final_norm, POINT.LAYER (resid_pre, attn_out, resid_mid, mlp_act, mlp_out, resid_post), POINT.LAYER.HEAD "
    "(q, k, v, z, result); '*' stands for every number; NAME@SITE is the site seen through a projection, NAME@z.LAYER "
    "all heads of a layer seen through one, SITE+SITE both as one; also TransformerLens' blocks.LAYER.hook_resid_post, "
    "blocks.LAYER.attn.hook_z.HEAD"
)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_NUMBER = re.compile(r"\*|0|[1-9][0-9]{0,8}")
_LENS = re.compile(  # names of the same activations in TransformerLens; of a head, with its number or without
    r"blocks\.(?P<layer>[^.]+)\.(?:hook_(?P<stream>resid_pre|resid_mid|resid_post|attn_out|mlp_out)"
    r"|attn\.hook_(?P<head_point>q|k|v|z|result)(?:\.(?P<head>[^.]+))?|mlp\.(?P<act>hook_post))"
)


@dataclass(frozen=True)
class SubjectShape:
    """The numbers of a subject that decide which sites exist: layers, heads, widths in coordinates."""

    layers: int
    heads: int
    key_value_heads: int
    width: int
    head_width: int
    mlp_width: int

    def numbers(self, point: str) -> tuple[tuple[str, int], ...]:
        """Numbers behind a point, their meaning and their count: of layers, then of heads."""
        limits = {"layer": self.layers, "head": self.heads, "key/value head": self.key_value_heads}
        return tuple((name, limits[name]) for name in _NUMBERS[point])

    def coordinates(self, point: str) -> int:
        """Number of coordinates of a point, of one head if it is read per head."""
        if point == "mlp_act":
            return self.mlp_width
        return self.head_width if point in ("q", "k", "v", "z") else self.width

    def coordinates_of(self, site: Site) -> int:
        """Number of coordinates of a single site, its projection aside."""
        whole = site.point == ALL_HEADS and site.head is None
        return self.heads * self.head_width if whole else self.coordinates(site.point)


@dataclass(frozen=True)
class Site:
    """One point, of one layer and one head where it has them, perhaps through a projection; or several such `parts`
    as one target, whose point is `JOINT`. `str(site)` and `Site.parse` are inverse.
    """

    point: str
    layer: int | None = None
    head: int | None = None
    projection: str | None = None
    parts: tuple[Site, ...] = ()

    def __str__(self) -> str:
        if self.parts:
            return "+".join(map(str, self.parts))
        numbers = "".join(f".{number}" for number in (self.layer, self.head) if number is not None)
        return f"{self.projection}@{self.point}{numbers}" if self.projection else f"{self.point}{numbers}"

    @property
    def series(self) -> str:
        """The address without its numbers: what a curve over layers, or a map of heads, is drawn of."""
        return self.point if self.projection is None else f"{self.projection}@{self.point}"

    @property
    def singles(self) -> tuple[Site, ...]:
        """Its parts, or itself where it is one."""
        return self.parts or (self,)

    @property
    def depth(self) -> tuple[int, int, int, str]:
        """(layer, place within the block, head, address): sorts sites as the subject computes them."""
        if self.parts:
            return (*max(single.depth for single in self.parts)[:3], str(self))
        layer = {"embed": -1, "final_norm": sys.maxsize}.get(self.point, self.layer)
        assert layer is not None
        return layer, POINTS.index(self.point), self.head or 0, str(self)

    @classmethod
    def parse(cls, address: str) -> Site:
        """Read one address without wildcards.

        Raises:
            UserError: the address does not follow the grammar.
        """
        if is_pattern(address):
            raise UserError("a single site was expected, and a wildcard names many", given=address, allowed=GRAMMAR)
        return _joint([_single(*_split(single)) for single in address.split("+")], address)


Addresses = str | Site | Iterable[str | Site]  # of one site or several, wildcards allowed


def is_pattern(address: str | Site) -> bool:
    """True for an address that names many sites; one of no site counts as one.

    Raises:
        UserError: the address does not follow the grammar.
    """
    return any("*" in _split(single)[2] for single in str(address).split("+"))


def require_addresses(addresses: Addresses) -> None:
    """
    Raises:
        UserError: one of them does not follow the grammar, whatever the subject.
    """
    for address in each(addresses):
        is_pattern(address)


def each(addresses: Addresses) -> list[str | Site]:
    """The addresses as a list, also of one alone."""
    return [addresses] if isinstance(addresses, str | Site) else list(addresses)


def names_several(addresses: Addresses) -> bool:
    """True for a list, also of one address, and for a wildcard."""
    return not isinstance(addresses, Site) and (not isinstance(addresses, str) or is_pattern(addresses))


def select(addresses: Addresses, shape: SubjectShape) -> tuple[Site, ...]:
    """The sites that the addresses (wildcards allowed) name in a subject of this shape, each once, in order of depth.

    Raises:
        UserError: an address does not follow the grammar, or names a layer or head that does not exist.
    """
    chosen: set[Site] = set()
    for address in map(str, each(addresses)):
        parts = address.split("+")
        if len(parts) == 1:
            chosen.update(_every(address, shape))
        elif is_pattern(address):
            raise UserError("a wildcard cannot be part of a joint site", given=address, remedy="name each part")
        else:
            chosen.add(_joint([site for pattern in parts for site in _every(pattern, shape)], address))
    return tuple(sorted(chosen, key=lambda site: site.depth))


def every(point: str, layer: int | None = None) -> str:
    """The address of all sites of a point, or of those of one layer where it has layers."""
    numbers = ["*" for _ in _NUMBERS[point]]
    return ".".join([point, *(numbers if layer is None or not numbers else [str(layer), *numbers[1:]])])


def _joint(parts: Sequence[Site], address: str) -> Site:
    if len(parts) == 1:
        return parts[0]
    if len(set(parts)) < len(parts):
        raise UserError("a site is named twice in a joint site", given=address)
    return Site(JOINT, parts=tuple(parts))


def _every(address: str, shape: SubjectShape) -> list[Site]:
    """The sites that one address without a '+' names."""
    projection, point, numbers = _split(address)
    ranges = [
        _range(number, limit, address, name)
        for number, (name, limit) in zip(numbers, shape.numbers(point), strict=False)
    ]
    return [_single(projection, point, chosen) for chosen in product(*ranges)]


def _single(projection: str | None, point: str, numbers: Iterable[str | int]) -> Site:
    return Site(point, *map(int, numbers), projection=projection)


def _split(address: str) -> tuple[str | None, str, Sequence[str]]:
    """The projection, the point and the numbers of an address without a '+'."""
    name, at, rest = address.rpartition("@")
    point, *numbers = _own(rest, alone=not at).split(".")
    canonical = all(map(_NUMBER.fullmatch, numbers))
    named = not at or _NAME.fullmatch(name)
    whole = at and point == ALL_HEADS and len(numbers) == 1
    if point not in POINTS or not (whole or len(numbers) == len(_NUMBERS[point])) or not canonical or not named:
        raise UserError("this is not the address of a site", given=address, allowed=GRAMMAR)
    return name or None, point, numbers


def _own(address: str, alone: bool) -> str:
    """The address here of one that TransformerLens gives; not `alone`: it is seen through a projection."""
    lens = _LENS.fullmatch(address)
    if not lens:
        return address
    if point := lens["head_point"]:
        whole = point == ALL_HEADS and not alone and not lens["head"]  # an autoencoder of `hook_z`
        return f"{point}.{lens['layer']}" if whole else f"{point}.{lens['layer']}.{lens['head'] or '*'}"
    return f"{lens['stream'] or 'mlp_act'}.{lens['layer']}"


def _range(number: str, limit: int, address: str, name: str) -> range:
    if limit == 0:
        raise UserError(f"this subject has no {name}s", given=address, remedy="inversescope sites MODEL")
    if number == "*":
        return range(limit)
    if int(number) >= limit:
        raise UserError(f"this subject has no {name} {number}", given=address, allowed=f"{name} 0 to {limit - 1}")
    return range(int(number), int(number) + 1)
