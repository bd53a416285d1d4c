"""Meaning of a config for its subject: the sites that its addresses name, device, precision, shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from inversescope.config import RunConfig
from inversescope.errors import UserError
from inversescope.sites import Site
from inversescope.subject import Subject


def sites_of_splits(config: RunConfig, subject: Subject) -> dict[str, tuple[Site, ...]]:
    """Sites at which each split is read: train at the generator's, pool and targets at all.

    Raises:
        UserError: a site does not exist, or other sites are not among those collected.
    """
    everywhere = subject.sites(config.collect.sites)
    generator, text = (subject.sites(section.sites) for section in (config.generator, config.text))
    for section, chosen in (("generator", generator), ("text", text)):
        missing = [str(site) for site in chosen if site not in everywhere]
        if missing:
            raise UserError(
                f"{section}.sites must be among collect.sites",
                given=", ".join(missing[:5]),
                allowed=", ".join(config.collect.sites),
            )
    return {"train": generator, "pool": everywhere, "target": everywhere}


def resolved_config(
    config: RunConfig, subject: Subject, sites: Mapping[str, tuple[Site, ...]], task: dict[str, Any]
) -> dict[str, Any]:
    """The whole config as a record: with the sites of the splits, and all settings of the task (`task`)."""
    resolved = config.model_dump(mode="json", exclude={"cluster": True}) | {"task": task}
    resolved["collect"]["sites"] = [str(site) for site in sites["pool"]]
    resolved["generator"]["sites"] = [str(site) for site in sites["train"]]
    resolved["subject"] |= {
        "device": str(subject.device),
        "dtype": str(subject.dtype).removeprefix("torch."),
        "shape": asdict(subject.shape),
        "prefix": list(subject.prefix),
    }
    return resolved
