"""Addresses of sites: print and parse are inverse, wildcards select, everything else is refused with what exists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inversescope.errors import UserError
from inversescope.sites import POINTS, Site, SubjectShape, select

SHAPE = SubjectShape(layers=3, heads=2, width=8, head_width=5)

numbers = st.integers(0, 200)
sites = st.one_of(
    st.builds(Site, st.sampled_from([point for point in POINTS if point != "z"]), numbers),
    st.builds(Site, st.just("z"), numbers, numbers),
)


@given(sites)
def test_parse_undoes_print(site: Site):
    assert Site.parse(str(site)) == site


@given(st.text(alphabet="z.0123*residpreou_-+ ", max_size=14))
def test_print_undoes_parse_and_all_else_is_refused(address: str):
    try:
        site = Site.parse(address)
    except UserError:
        return
    assert str(site) == address


def test_a_wildcard_selects_every_number_once_in_order_of_depth():
    assert [str(site) for site in select(["resid_post.*"], SHAPE)] == ["resid_post.0", "resid_post.1", "resid_post.2"]
    assert [str(site) for site in select(["z.1.*", "z.*.0", "resid_pre.1"], SHAPE)] == [
        "z.0.0", "resid_pre.1", "z.1.0", "z.1.1", "z.2.0",
    ]  # fmt: skip
    assert len(select(["z.*.*"], SHAPE)) == 6


def test_a_head_has_its_own_width():
    assert Site.parse("z.0.1").dimension(SHAPE) == 5
    assert Site.parse("attn_out.0").dimension(SHAPE) == 8


@pytest.mark.parametrize(
    "address",
    ["", "resid_post", "resid_post.", "resid_post.-1", "resid_post.01", "resid_post.1.0", "z.1", "z.1.0.0", "mlp.1",
     "resid_post.٣", "RESID_POST.1", " z.1.0", "z.1.x"],
)  # fmt: skip
def test_a_malformed_address_is_refused_with_the_grammar(address: str):
    with pytest.raises(UserError, match=r"not the address of a site(.|\n)*LAYER"):
        select([address], SHAPE)


def test_a_number_out_of_range_is_refused_with_the_range():
    with pytest.raises(UserError, match=r"no layer 3(.|\n)*layer 0 to 2"):
        select(["resid_post.3"], SHAPE)
    with pytest.raises(UserError, match=r"no head 2(.|\n)*head 0 to 1"):
        select(["z.*.2"], SHAPE)
    with pytest.raises(UserError, match="wildcard names many"):
        Site.parse("resid_post.*")
