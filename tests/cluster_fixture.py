"""A small run with every step, which tests of clusters do in other ways and compare with the one without workers."""

from __future__ import annotations

from pathlib import Path

from once import once
from small_subject import call, config_text, save_subject

from inversescope import files

VARYING = {"provenance.json", "manifest.json"}  # times; hashes of files with times
TEXT = """
[text]
sites = ["resid_post.1"]
nearest = 40
best = 20
proposals = 40
bits = [2]
samples = 8
stored = [1]
pool = 16
"""


def write_config(shared: Path, folder: Path) -> Path:
    """A config of a small run with every step, natural text too, of a subject that all processes share."""
    with once(shared, "cluster-subject") as to_do:
        if to_do:
            save_subject(shared / "cluster-subject")
    path = folder / "small.toml"
    path.write_text(config_text(shared / "cluster-subject", steps=20) + TEXT)
    return path


def hashes_without_workers(shared: Path, config: Path) -> dict[str, str]:
    """Hashes of the files of its run, which the first process does and all read."""
    folder = shared / "cluster-alone"
    with once(shared, folder.name) as to_do:
        return done(config, folder) if to_do else hashes(folder)


def done(config: Path, folder: Path, *options: str) -> dict[str, str]:
    """Hashes of the files of a run that is done here and now."""
    assert call("run", config, "--out", folder, "--threads", "1", "--until", "text", *options) == 0
    return hashes(folder)


def hashes(folder: Path) -> dict[str, str]:
    """Of every file but those that hold times, and what is made of these."""
    return {
        str(path.relative_to(folder)): files.sha256(path)
        for path in folder.rglob("*")
        if path.is_file() and path.name not in VARYING and path.parent.name != "report"
    }
