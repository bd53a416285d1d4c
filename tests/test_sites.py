"""Addresses of sites: print and parse are inverse, wildcards select, everything else is refused with what exists."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from refusals import refuses

from inversescope.errors import UserError
from inversescope.sites import JOINT, POINTS, Site, SubjectShape, select

SHAPE = SubjectShape(layers=3, heads=4, key_value_heads=2, width=8, head_width=5, mlp_width=9)

numbers = st.integers(0, 200)
COUNTS = {point: len(SHAPE.numbers(point)) for point in POINTS}
names = st.one_of(st.none(), st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,5}", fullmatch=True))


@st.composite
def single_sites(draw: st.DrawFn) -> Site:
    point = draw(st.sampled_from(POINTS))
    return Site(point, *(draw(numbers) for _ in range(COUNTS[point])), projection=draw(names))


@given(st.lists(single_sites(), min_size=1, max_size=4, unique=True))
def test_parse_undoes_print(parts: list[Site]):
    site = parts[0] if len(parts) == 1 else Site(JOINT, parts=tuple(parts))
    assert Site.parse(str(site)) == site


PARTS = st.sampled_from([*POINTS, "probe", "0", "1", "01", "-1", " 1", "*", "", ".", ".", "+", "@"])


@given(st.lists(PARTS, max_size=7).map("".join) | single_sites().map(str))
@example("z.01.2")
@example("probe@z.1.0+")
def test_print_undoes_parse_and_all_else_is_refused(address: str):
    try:
        site = Site.parse(address)
    except UserError:
        return
    assert str(site) == address


def test_a_wildcard_selects_every_number_once_in_order_of_depth():
    assert [str(site) for site in select(["resid_post.*"], SHAPE)] == ["resid_post.0", "resid_post.1", "resid_post.2"]
    assert [str(site) for site in select(["z.1.*", "z.*.0", "resid_pre.1"], SHAPE)] == [
        "z.0.0", "resid_pre.1", "z.1.0", "z.1.1", "z.1.2", "z.1.3", "z.2.0",
    ]  # fmt: skip
    assert len(select(["z.*.*"], SHAPE)) == 12
    assert len(select(["k.*.*"], SHAPE)) == 6
    assert list(map(str, select(["final_norm", "mlp_act.2", "embed"], SHAPE))) == ["embed", "mlp_act.2", "final_norm"]
    assert list(map(str, select(["probe@z.2.*"], SHAPE))) == [f"probe@z.2.{head}" for head in range(4)]


def test_several_sites_are_one_in_the_order_given_and_as_deep_as_the_deepest():
    joint, later = select(["resid_post.1+z.0.1", "resid_pre.2"], SHAPE)
    assert str(joint) == "resid_post.1+z.0.1"
    assert list(map(str, joint.singles)) == ["resid_post.1", "z.0.1"]
    assert joint.depth < later.depth


@pytest.mark.parametrize(
    ("address", "values"),
    [("z.0.*+resid_post.1", {"given": "z.0.*+resid_post.1", "remedy": True}),
     ("z.0.1+z.0.1", {"given": "z.0.1+z.0.1"}), ("z.0.1+", {"given": "", "allowed": "POINT.LAYER"}),
     ("resid_post.1+resid_post.7", {"allowed": "layer 0 to 2"})],
)  # fmt: skip
def test_a_joint_site_that_cannot_be_is_refused(address: str, values: dict):
    with refuses(**values):
        select([address], SHAPE)


def test_an_empty_part_of_a_joint_site_is_shown_in_quotes():
    with refuses("''", allowed="POINT.LAYER"):
        select(["z.0.1+"], SHAPE)


def test_a_head_has_its_own_width():
    widths = {point: SHAPE.coordinates(point) for point in ("q", "k", "v", "z", "result", "attn_out", "mlp_act")}
    assert widths == {"q": 5, "k": 5, "v": 5, "z": 5, "result": 8, "attn_out": 8, "mlp_act": 9}


@pytest.mark.parametrize(
    "address",
    ["", "resid_post", "resid_post.", "resid_post.-1", "resid_post.01", "resid_post.1.0", "z.1", "z.1.0.0", "mlp.1",
     "resid_post.٣", "RESID_POST.1", " z.1.0", "z.1.x", "embed.0", "q.1", "@z.1.0", "a b@z.1.0", "1@z.1.0",
     "p@p@z.1.0"],
)  # fmt: skip
def test_a_malformed_address_is_refused_with_the_grammar(address: str):
    with refuses(given=True, allowed="POINT.LAYER"):
        select([address], SHAPE)


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("blocks.1.hook_resid_post", ["resid_post.1"]),
        ("blocks.*.hook_resid_mid", ["resid_mid.0", "resid_mid.1", "resid_mid.2"]),
        ("blocks.2.hook_mlp_out", ["mlp_out.2"]),
        ("blocks.2.mlp.hook_post", ["mlp_act.2"]),
        ("blocks.0.attn.hook_z.3", ["z.0.3"]),
        ("blocks.0.attn.hook_k", ["k.0.0", "k.0.1"]),
        ("sae@blocks.0.attn.hook_z", ["sae@z.0"]),  # as autoencoders have it: all heads side by side
        ("probe@blocks.1.hook_resid_pre", ["probe@resid_pre.1"]),
        ("blocks.1.hook_resid_post+blocks.0.attn.hook_z.1", ["resid_post.1+z.0.1"]),
    ],
)
def test_names_of_transformer_lens_are_read(address: str, named: list[str]):
    assert list(map(str, select(address, SHAPE))) == named
    if len(named) == 1:
        assert str(Site.parse(address)) == named[0]
    else:
        with refuses(given=address, allowed="POINT.LAYER"):
            Site.parse(address)


@pytest.mark.parametrize(
    "address",
    ["blocks.1.hook_z", "blocks.1.attn.hook_pattern", "blocks.hook_resid_post", "blocks.01.hook_resid_post",
     "ln_final.hook_normalized", "blocks.1.attn.hook_z.x"],
)  # fmt: skip
def test_other_names_of_transformer_lens_are_refused(address: str):
    with refuses(given=address, allowed="POINT.LAYER"):
        select([address], SHAPE)


def test_one_site_is_a_list_of_one():
    assert select("z.1.2", SHAPE) == select(Site("z", 1, 2), SHAPE) == select([Site("z", 1, 2)], SHAPE)


def test_a_number_out_of_range_is_refused_with_the_range():
    with refuses(given="resid_post.3", allowed="layer 0 to 2"):
        select(["resid_post.3"], SHAPE)
    with refuses(given="z.*.4", allowed="head 0 to 3"):
        select(["z.*.4"], SHAPE)
    with refuses(given="k.0.2", allowed="key/value head 0 to 1"):
        select(["k.0.2"], SHAPE)
    with refuses(given="resid_post.*", allowed="POINT.LAYER"):
        Site.parse("resid_post.*")
