"""The promises of the repository itself: its file tree, its start-up time, its import directions, its text."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import inversescope

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "inversescope"
COMMAND = Path(sys.executable).parent / "inversescope"

# Every address in the repository leads to one of these; none is needed to install or run anything.
KNOWN_HOSTS = {
    "127.0.0.1",  # this machine
    "arxiv.org",
    "creativecommons.org",
    "docs.neuronpedia.org",
    "github.com",
    "huggingface.co",
    "keepachangelog.com",
    "semver.org",
    "vega.github.io",  # names the schema of a chart
    "www.apache.org",
    "www.geonames.org",
    "www.w3.org",
    "x.test",  # stands for any host in the tests of the report
}
HOST = re.compile(r"(?<=://)[\w.-]+|(?<![\w.-])(?:[a-z0-9-]+\.)+(?:com|net|org)\b")
# Folders that exist on one machine only. Temporary ones made by tests have no place in the text either.
MACHINE_PATH = re.compile(r"(?<![\w.~$}*/-])/(?:home|root|work|mnt|opt|tmp|Users)/\w")


def tracked_texts() -> list[tuple[Path, str]]:
    """Every text file that git knows or would add, with its content."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    contents = [(path, path.read_bytes()) for path in paths if path.is_file() and "vendored" not in path.parts]
    return [(path.relative_to(ROOT), content.decode("utf-8")) for path, content in contents if b"\0" not in content]


def files_in_the_tree() -> set[str]:
    """The files named in the tree of docs/architecture.md: two spaces a level, and a folder ends with a slash."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    block = re.search(r"```text\nsrc/inversescope/\n(.*?)```", page, re.S)
    assert block, "docs/architecture.md has no file tree of src/inversescope/"
    files, folders = set(), []
    for line in block[1].splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        folders[depth - 1 :] = [name]
        if not name.endswith("/"):
            files.add("".join(folders))
    return files


def test_architecture_lists_every_file():
    files = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files_in_the_tree() == files


@pytest.mark.machine
def test_help_answers_at_once():
    """In less than three times the processor time that its library takes to be imported: nothing large is imported."""

    def used(*command: str | Path) -> float:
        before = os.times()
        subprocess.run(command, check=True, capture_output=True)
        after = os.times()
        return (after.children_user - before.children_user) + (after.children_system - before.children_system)

    library = min(used(sys.executable, "-c", "import typer, typer.rich_utils") for _ in range(3))
    assert min(used(COMMAND, "--help") for _ in range(3)) < 3 * library


def test_help_imports_no_heavy_library():
    program = (
        "import sys; sys.argv = ['inversescope', '--help']\n"
        "import inversescope; from inversescope.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert not stop.code\n"
        "print('loaded:', *sorted({'torch', 'transformers', 'numpy', 'scipy', 'pyarrow', 'jinja2'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert answer.stdout.splitlines()[-1] == "loaded:"


def test_every_public_name_leads_to_what_bears_it():
    public = {name: getattr(inversescope, name) for name in inversescope.__all__}
    assert len(public) > 5 and public.keys() <= set(dir(inversescope))
    bearing = {name: value.__name__ for name, value in public.items() if callable(value)}
    assert len(bearing) > 5 and all(name == own for name, own in bearing.items())
    with pytest.raises(AttributeError):
        _ = inversescope.no_such_name


def test_the_import_contracts_hold():
    lint = Path(sys.executable).parent / "lint-imports"
    answer = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout


def test_addresses_lead_to_known_hosts():
    found = {(str(path), host) for path, text in tracked_texts() for host in re.findall(HOST, text)}
    assert {"arxiv.org", "github.com"} <= {host for _, host in found}
    assert {(path, host) for path, host in found if host not in KNOWN_HOSTS} == set()


def test_no_path_of_one_machine():
    assert MACHINE_PATH.search("see /" + "home/someone/file") and not MACHINE_PATH.search("src/" + "home/file")
    found = [
        (str(path), line) for path, text in tracked_texts() for line in text.splitlines() if MACHINE_PATH.search(line)
    ]
    assert found == []
