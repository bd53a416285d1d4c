"""Extension of a collected run: more inputs, more sites. Existing inputs are kept."""

from __future__ import annotations

from pathlib import Path

from inversescope import files
from inversescope.cluster import parts
from inversescope.collect.sizes import SIZES
from inversescope.config import RunConfig
from inversescope.errors import UserError
from inversescope.run import locks, prior
from inversescope.run.pipeline import STEPS
from inversescope.run.resolved import resolved_config
from inversescope.run.run import Run
from inversescope.run.sealed import CONFIG, CONFIG_HASH, RESOLVED, config_folder, read_provenance, read_resolved

_LATER = list(STEPS)[list(STEPS).index("collect") + 1 :]


def extend(folder: Path | str, config_text: str, name: str = CONFIG, start: Path | None = None) -> Run:
    """Give a run a config (TOML text) with more inputs or sites; its step `collect` then reads what is missing.

    Sizes that the config leaves open are those of the run.

    Args:
        folder: of the run.
        config_text: the config.
        name: stands for the config in messages.
        start: folder at which relative paths of the config start; None: where those of the run start.

    Raises:
        UserError: steps after `collect` have begun, or the config differs in more than inputs and sites.
    """
    run = Run.open(folder, becoming=config_text)
    config = RunConfig.parse(config_text, name, start or config_folder(run.folder))
    grown = Run(run.folder, config.with_sizes(run.config.collect.model_dump(include=set(SIZES))), run.made_by)
    _nothing_stands_on_it(run)
    _asks_for_more(run, grown)
    _has_its_prior(grown)
    task = read_resolved(run.folder)["task"]  # the task is the same
    resolved = resolved_config(grown.config, grown.subject, grown.sites, task) | {
        CONFIG_HASH: files.sha256_of(config_text)
    }
    with locks.only_writer(run.folder):
        _nothing_stands_on_it(run)  # another process may have been faster
        parts.reopen(run.folder / "collect", read_provenance(run.folder)["seconds"].get("collect", 0.0))
        files.write_sealed(run.folder / RESOLVED, resolved)  # names the config: without it, it is an extension begun
        files.write(run.folder / CONFIG, lambda path: path.write_bytes(config_text.encode()))
    return grown


def _nothing_stands_on_it(run: Run) -> None:
    later = [step for step in _LATER if (run.folder / step).exists()]
    if later:
        raise UserError(
            "steps of this run stand on what is collected, and would no longer be true",
            given=", ".join(later),
            remedy=f"delete these folders of {run.folder}, or extend a copy of it",
        )


def _has_its_prior(grown: Run) -> None:
    """Compare what the prior is made from with what it was when the run was started; no code of the user's is run."""
    grown.require_same_code()
    if grown.config.task_file is None:
        current = prior.sources(grown.task_config, grown.subject)
        prior.require_same(current, read_provenance(grown.folder)["prior"])


def _asks_for_more(run: Run, grown: Run) -> None:
    for name in ("seed", "subject", "task", "features", "neighbourhood"):
        old, new = getattr(run.config, name), getattr(grown.config, name)
        if old != new:
            raise UserError(f"an extended run keeps its {name}", given=new, allowed=old, remedy="start a new run")
    for name in ("train", "pool", "targets"):
        old, new = getattr(run.config.collect, name), getattr(grown.config.collect, name)
        if old != new and ("all" in (old, new) or new < old):
            allowed = old if old == "all" else f"{old} or more"
            raise UserError("an extended run keeps its inputs", given=f"collect.{name} = {new}", allowed=allowed)
    lost = [str(site) for site in run.sites["pool"] if site not in grown.sites["pool"]]
    if lost:
        raise UserError(
            "an extended run keeps its sites", given=f"collect.sites without {lost[0]}", allowed="more than before"
        )
