"""All checks that the sites of a subject are what they are called, measured on the loaded model itself."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy

import torch

from inversescope.errors import UserError
from inversescope.sites import Site
from inversescope.subject.site_check import SiteCheck, inputs, relative_error
from inversescope.subject.site_passes import Passes
from inversescope.subject.site_patches import Patches
from inversescope.subject.site_sums import Sums
from inversescope.subject.subject import Subject

__all__ = ["SiteCheck", "drift", "examine", "require"]


def examine(subject: Subject) -> tuple[SiteCheck, ...]:
    """All checks, on random tokens: at all layers, those that patch at the middle one.

    Raises:
        UserError: the subject computes values that are not finite.
    """
    return tuple(check for group in (Sums, Patches, Passes) for check in group(subject).checks())


def drift(subject: Subject) -> SiteCheck | None:
    """Distance of the subject's last residual stream from its value in float32, or in bfloat16 if it is float32.

    Takes a copy of the model. None where its weights are rounded or on several devices: there is no other precision
    then.
    """
    if subject.rounded or len(set(getattr(subject.model, "hf_device_map", {}).values())) > 1:
        return None
    other = torch.bfloat16 if subject.dtype == torch.float32 else torch.float32
    copy = Subject.from_model(deepcopy(subject.model).to(other))
    sites, lines = [Site("resid_post", subject.shape.layers - 1)], inputs(subject)
    own, converted = (model.capture(lines, sites).activations[sites[0]] for model in (subject, copy))
    names = [str(dtype).removeprefix("torch.") for dtype in (subject.dtype, other)]
    return SiteCheck(f"{names[0]} beside {names[1]}, at {sites[0]}", (), relative_error(own, converted), None)


def require(subject: Subject, sites: Iterable[Site]) -> None:
    """Refuse sites whose points are not what they are called on this subject.

    Raises:
        UserError: one of the checks that vouch for a site does not hold.
    """
    failed = {point: check for check in examine(subject) if check.ok is False for point in check.points}
    for single in (single for site in sites for single in site.singles):
        if single.point in failed:
            check = failed[single.point]
            raise UserError(
                f"the point {single.point} of this subject is not what it should be: {check.name} does not hold",
                given=f"{single}, relative error {check.error:.2g}",
                allowed=f"{check.allowed:g}",
                remedy=f"inversescope doctor {subject.name}",
            )
