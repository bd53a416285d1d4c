"""Subject of a run: loaded by its config or given in memory, and compared with the one that made the run."""

from __future__ import annotations

from datetime import date
from typing import Any

from inversescope.config import SubjectConfig
from inversescope.errors import UserError
from inversescope.run.provenance import require_same
from inversescope.subject import Subject
from inversescope.subject.projection_files import load_projection

_CHOSEN = ("device", "dtype", "bits", "attention", "prefix", "revision")  # what a model in memory has settled already


def subject_of(
    wanted: SubjectConfig, made_by: dict[str, Any] | None, own: Subject | None, device: str | None
) -> Subject:
    """The subject, with the projections of the config.

    Args:
        wanted: section of the config.
        made_by: provenance of the run; None: it is new.
        own: model in memory in place of the config's.
        device: in place of the config's.

    Raises:
        UserError: it cannot be loaded, or is not the one that the run was started with.
    """
    subject = _loaded(wanted, made_by, device) if own is None else _given(wanted, own)
    subject.projections = {name: load_projection(path) for name, path in wanted.projections.items()}
    if made_by:
        recorded = made_by["subject"]
        require_same(f"subject {subject.name!r}", subject.fingerprint, recorded["fingerprint"])
        subject.tokenizer.date = date.fromisoformat(made_by["prior"]["date"])
        if list(subject.prefix) != recorded["prefix"]:
            raise UserError(
                "inputs start with other tokens than those of this run: the tokenizer has changed",
                given=list(subject.prefix),
                allowed=recorded["prefix"],
                remedy="the tokenizer as it was, or a new run",
            )
        for name, projection in subject.projections.items():
            require_same(f"projection {name!r}", projection.fingerprint, recorded["projections"][name])
    return subject


def _loaded(wanted: SubjectConfig, made_by: dict[str, Any] | None, device: str | None) -> Subject:
    if made_by and made_by["subject"].get("in_memory"):
        raise UserError(
            "the subject of this run was a model in memory",
            given=wanted.model,
            remedy="in Python: Run.open(RUN, subject=...) or Inverter.load(RUN, subject=...)",
        )
    return Subject.load(
        wanted.model,
        device=device or wanted.device,
        dtype=made_by["dtype"] if made_by else wanted.dtype,  # "auto" may mean another one on another machine
        revision=wanted.revision,
        bits=wanted.bits,
        attention=wanted.attention,
        prefix=wanted.prefix,
    )


def _given(wanted: SubjectConfig, own: Subject) -> Subject:
    chosen = sorted(wanted.model_fields_set.intersection(_CHOSEN))
    if chosen:
        given = ", ".join(f"subject.{name}" for name in chosen)
        remedy = "leave it out of the config: the model in memory has it already"
        raise UserError("a model in memory is taken as it is", given=given, remedy=remedy)
    return own
