"""A trained run as a folder that can be shared: the needs of its inverter, as data without code, and a model card.

Kept: config, provenance, the inputs (as tokens, texts and labels), statistics of the sites, bandwidths, the generator,
and the verdicts of its calibration. The generator brings the activations of its own stored inputs; those of the pool
are left out unless wanted, and are then read again by the subject when they are first used.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from inversescope import __version__, files, records
from inversescope.collect.reread import RereadStore
from inversescope.collect.store import SHARDS
from inversescope.errors import UserError
from inversescope.inverter.model_card import CARD, model_card
from inversescope.run.run import Run
from inversescope.run.sealed import CONFIG, PROVENANCE, RESOLVED, read_provenance
from inversescope.subject import Subject

SHARED = "inverter.json"
KINDS = (".safetensors", ".parquet", ".json", ".toml", ".md")  # none of them can hold code
_KEPT: Mapping[str, tuple[str, ...]] = {
    "collect": (
        records.collect.INPUTS.name,
        records.collect.NOISE_FLOOR.name,
        "statistics.safetensors",
    ),
    "reference": (
        records.collect.BANDWIDTHS.name,
        records.collect.KNOWN.name,
        records.collect.NEAREST.name,
    ),
    "train": (records.train.GENERATOR.name, "generator.safetensors"),
    "calibrate": (records.calibrate.CALIBRATION.name, "verdicts.json"),
}
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
HUB = "hf://"


def save(run: Run, folder: Path, *, store: bool = False, licence: str | None = None) -> None:
    """Write the inverter of a trained run into a new folder; `store`: with the activations of the stored inputs.

    Args:
        licence: of the inputs, for the model card; None: not stated.

    Raises:
        UserError: the folder is not empty, or the run needs files that are not shared.
    """
    _require_shareable(run)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError("the folder is not empty", given=folder, allowed="a folder that is missing or empty")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        made = Path(temporary) / "made"
        _write(run, made, store, licence)
        if folder.exists():  # and is empty
            folder.rmdir()
        made.replace(folder)


def _write(run: Run, folder: Path, store: bool, licence: str | None) -> None:
    folder.mkdir()
    for name in (CONFIG, RESOLVED):
        files.write(folder / name, lambda path, name=name: shutil.copyfile(run.folder / name, path))
    nowhere = {"config": {"folder": ".", "from_run": "."}}  # no file that is named by a relative path goes along
    files.write_sealed(folder / PROVENANCE, read_provenance(run.folder) | nowhere)
    for room, names in _KEPT.items():
        if not (run.folder / room).is_dir():
            continue
        (folder / room).mkdir()
        shards = _shards(run.folder / room) if store and room == "collect" else []
        present = [name for name in (*names, *shards) if (run.folder / room / name).exists()]
        for name in present:
            source = files.verified(run.folder / room / name)
            files.write(folder / room / name, lambda path, source=source: shutil.copyfile(source, path))
        if files.finished(run.folder / room):
            files.finish(folder / room, [folder / room / name for name in present], step=room, made_from={})
    described = {"inversescope": __version__, "stored_activations": store, "licence": licence}
    files.write_json(folder / SHARED, described)
    card = model_card(run, store, licence, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))
    files.write(folder / CARD, lambda path: path.write_text(card, encoding="utf-8"))


def _shards(folder: Path) -> Iterator[str]:
    """Files of the activations that are stored; none where they were left out before."""
    if (folder / SHARDS).exists():
        yield SHARDS
        yield from (shard["file"] for shard in files.read_json(files.verified(folder / SHARDS)))


def _require_shareable(run: Run) -> None:
    """Refuse a run that reads files beside it: neither code nor somebody's texts go along unseen."""
    config = run.config
    if config.code:
        given = ", ".join(str(code.path) for code in config.code)
        raise UserError("code is not shared", given=given, remedy="an expression in the language of features")
    paths = [f"{name} = {value}" for name, value in config.task.model_dump().items() if isinstance(value, Path)]
    paths += [f"projections.{name} = {path}" for name, path in config.subject.projections.items()]
    if paths:
        problem = "the run reads files beside it, which are not shared"
        raise UserError(problem, given=", ".join(paths), remedy="share the run directory together with these files")


def push(run: Run, name: str, *, store: bool, licence: str | None, private: bool | None) -> str:
    """Save the inverter, and upload it to the hub as the repository `owner/name`; gives its address."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    _require_name(name)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "inverter"
        save(run, folder, store=store, licence=licence)
        hub = HfApi()
        try:
            address = hub.create_repo(name, private=private, exist_ok=True)
            hub.upload_folder(repo_id=name, folder_path=folder, commit_message="Inverter")
        except (HfHubHTTPError, OSError) as error:
            raise UserError(
                "the hub did not take the inverter", given=f"{name}: {error}", remedy="hf auth login"
            ) from error
    return str(address)


def local(place: Path | str) -> Path:
    """The folder of a run or of a shared inverter; one on the hub is downloaded, its data alone.

    A name such as `owner/name` is one on the hub if neither it nor its first part is a folder here.

    Raises:
        UserError: the hub has none of this name, or cannot be reached.
    """
    text = str(place)
    name = text.removeprefix(HUB)
    if not text.startswith(HUB):
        path = Path(place)
        if path.exists() or not isinstance(place, str) or not _HUB_NAME.fullmatch(text) or path.parent.exists():
            return path
    _require_name(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=[f"*{kind}" for kind in KINDS]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        given = f"{name}: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        raise UserError("there is no such folder, and no such inverter on the hub", given=given) from error


def opened(
    place: Path | str,
    device: str | None,
    *,
    allow_code: bool,
    subject: Subject | None,
    model: str | None,
) -> Run:
    """The trained run in a run directory or in a shared inverter, ready to invert; see `Inverter.load`.

    Raises:
        UserError: it cannot be opened, has no generator, or is not trained yet.
    """
    run = Run.open(local(place), device, allow_code=allow_code, subject=subject)
    if model is not None:
        wanted = run.config.subject.model_copy(update={"model": model})
        run.config = run.config.model_copy(update={"subject": wanted})
    run.require_generator()
    if not run.finished("train"):
        raise UserError(
            "this run has no trained generator yet",
            given=place,
            remedy="inversescope run CONFIG --out RUN --resume",
        )
    if described(run.folder) is not None:
        run.store = RereadStore(run.store.folder, run.config.neighbourhood, run.subject, run.sites["train"])
    return run


def described(folder: Path) -> dict[str, Any] | None:
    """Description of a shared inverter; None for a run directory."""
    return files.read_json(folder / SHARED) if (folder / SHARED).exists() else None


def _require_name(name: str) -> None:
    if not _HUB_NAME.fullmatch(name):
        raise UserError("this is no name on the hub", given=name, allowed="owner/name")
