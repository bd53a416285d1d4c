"""Many activations put in at once, behind a beginning computed once: what a pass over the whole input gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from subject_fixture import LAYERS, VARIANTS, tiny_model

from inversescope.sites import POINTS, Site, every
from inversescope.subject import Subject, patching
from inversescope.subject.architectures import ARCHITECTURES
from inversescope.subject.patching import Source, logits, unsettable
from inversescope.subject.projections import Projection

TOKENS, OTHER = (1, 7, 3, 9, 12, 5, 8, 4), (1, 6, 2, 9, 30, 5, 11, 40)
UNKNOWN = ("stablelm", "gpt_neo")


def subject_of(kind: str, **options: Any) -> Subject:
    return Subject.from_model(tiny_model(kind, **options))


def rows_of(subject: Subject) -> list[dict[Site, torch.Tensor]]:
    """Another input's activation at every site that can be set, one a row, and rows that leave the input alone."""
    sites = [site for site in subject.sites(map(every, subject.points)) if unsettable(subject, site) is None]
    at = subject.capture([OTHER], sites).activations
    return [{}, *({site: at[site][0]} for site in sites), {}]


def close(left: torch.Tensor, right: torch.Tensor) -> None:
    torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-4 * float(right.abs().max()))


@pytest.mark.parametrize("kind", (*ARCHITECTURES, *VARIANTS, *UNKNOWN))
def test_rows_behind_one_beginning_are_what_whole_passes_give(kind: str):
    subject = subject_of(kind)
    source, rows = Source(subject, TOKENS), rows_of(subject)
    assert source.once
    found = source.logits(rows)
    close(found, torch.stack([logits(subject, TOKENS, patches) for patches in rows]))
    moved = [patches for patches, row in zip(rows, found, strict=True) if (row - found[0]).abs().max() > 1e-5]
    assert len(moved) == len(rows) - 2  # every site matters in these models
    points = {site.point for patches in moved for site in patches}
    assert points == set(subject.points) - {"result", "resid_mid"}


def test_behind_a_window_shorter_than_the_beginning():
    subject = subject_of("gemma2, sliding")
    assert subject.model.config.sliding_window < len(TOKENS)
    source = Source(subject, TOKENS * 2)
    assert source.once
    rows = rows_of(subject)
    close(source.logits(rows), torch.stack([logits(subject, TOKENS * 2, patches) for patches in rows]))


def test_a_model_that_does_not_go_on_from_keys_and_values_reads_the_whole_input(monkeypatch: pytest.MonkeyPatch):
    subject = subject_of("llama")
    rows = rows_of(subject)
    expected = Source(subject, TOKENS).logits(rows)
    monkeypatch.setattr(type(subject.model), "_is_stateful", True)
    whole = Source(subject, TOKENS)
    assert not whole.once
    close(whole.logits(rows), expected)


def test_keys_and_values_that_lead_elsewhere_are_not_used(monkeypatch: pytest.MonkeyPatch):
    subject = subject_of("llama")
    rows = rows_of(subject)
    expected = Source(subject, TOKENS).logits(rows)
    honest = patching._beginning
    monkeypatch.setattr(patching, "_beginning", lambda subject, tokens: honest(subject, tokens[:-1]))
    wrong = Source(subject, TOKENS)
    assert not wrong.once
    close(wrong.logits(rows), expected)


def test_an_input_of_one_token_has_no_beginning():
    subject = subject_of("gpt2")
    rows = rows_of(subject)
    source = Source(subject, TOKENS[:1])
    assert not source.once
    close(source.logits(rows), torch.stack([logits(subject, TOKENS[:1], patches) for patches in rows]))


def test_more_rows_than_go_through_at_once(monkeypatch: pytest.MonkeyPatch):
    subject = subject_of("qwen3")
    source, rows = Source(subject, TOKENS), rows_of(subject)
    together = source.logits(rows)
    monkeypatch.setattr(patching, "ROWS", 5)
    close(source.logits(rows), together)


def test_several_sites_of_a_row_are_all_set():
    subject = subject_of("llama")
    (joint,) = subject.sites(["z.1.0+mlp_out.2"])
    at = subject.capture([OTHER], [joint, *joint.parts]).activations
    apart = {part: at[part][0] for part in joint.parts}
    together, each = Source(subject, TOKENS).logits([{joint: at[joint][0]}, apart])
    close(together, each)
    close(together, logits(subject, TOKENS, apart))


@pytest.mark.parametrize("address", ("probe@resid_post.1", "probe@embed", "head@z.1.2"))
def test_a_projection_is_set_within_its_subspace_and_nothing_else_changes(address: str):
    subject = subject_of("granite")  # whose embeddings are multiplied
    rng = torch.Generator().manual_seed(0)
    subject.projections = {
        name: Projection(torch.randn(width, 3, generator=rng), torch.ones(3))
        for name, width in (("probe", subject.shape.width), ("head", subject.shape.head_width))
    }
    (site,) = subject.sites([address])
    plain = Site(site.point, site.layer, site.head)
    projection = subject.projections[site.projection]
    own, other = subject.capture([TOKENS, OTHER], [plain]).activations[plain]
    wanted = projection(other[None])[0]
    basis, _ = torch.linalg.qr(projection.weight)
    by_hand = own + (other - own) @ basis @ basis.T  # the other's part in the subspace, its own part outside
    torch.testing.assert_close(projection(by_hand[None])[0], wanted, rtol=1e-3, atol=1e-3)
    found = Source(subject, TOKENS).logits([{site: wanted}, {site: projection(own[None])[0]}])
    close(found[0], logits(subject, TOKENS, {plain: by_hand}))
    close(found[1], logits(subject, TOKENS))


def test_what_cannot_be_set_has_a_reason():
    subject = subject_of("llama")
    weight = torch.randn(subject.shape.width, 2)
    subject.projections = {
        "latents": Projection(weight, torch.zeros(2), threshold=torch.zeros(2)),
        "largest": Projection(weight, torch.zeros(2), most=1),
        "twice": Projection(weight[:, [0, 0]], torch.zeros(2)),
    }
    for address, words in {
        "result.1.0": "z instead", "resid_mid.1": "own copy", "latents@resid_post.1": "same latents",
        "largest@resid_post.1": "same latents", "twice@resid_post.1": "depend on each other",
        "resid_post.0+resid_mid.1": "resid_mid.1 cannot be set",
    }.items():  # fmt: skip
        (site,) = subject.sites([address])
        assert words in unsettable(subject, site)
    settable = subject.sites([every(point) for point in POINTS if point not in ("result", "resid_mid")])
    assert [site for site in settable if unsettable(subject, site)] == []
    assert len(settable) > LAYERS * 5
