"""The documents keep to the code: the CLI page, the commands, the code fences, the links, the site."""

from __future__ import annotations

import ast
import importlib
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.S | re.M)
CLI_PAGE = ROOT / "docs" / "cli.md"


def fences(language: str) -> list:
    """(page, content) of every fence in this language, as pytest parameters."""
    return [
        pytest.param(content, id=f"{page.name}-{number}")
        for page in PAGES
        for number, (found, content) in enumerate(FENCE.findall(page.read_text(encoding="utf-8")))
        if found == language
    ]


def test_the_cli_page_is_current():
    made = runpy.run_path(str(ROOT / "docs" / "make_cli_page.py"))["page"]()
    assert CLI_PAGE.read_text(encoding="utf-8") == made, "run `make docs/cli.md`"


def test_the_config_page_is_current():
    made = runpy.run_path(str(ROOT / "docs" / "make_config_page.py"))["page"]()
    assert (ROOT / "docs" / "config.md").read_text(encoding="utf-8") == made, "run `make docs/config.md`"


def test_the_documents_have_fences_to_check():
    commands = "\n".join(fence.values[0] for fence in fences("bash"))
    assert {"run", "demo", "propose", "arena"} <= set(re.findall(r"^inversescope (\w+)", commands, re.M))
    assert sum("import" in fence.values[0] for fence in fences("python")) >= 3


@pytest.mark.parametrize("commands", fences("bash"))
def test_documented_commands_exist(commands: str):
    page = CLI_PAGE.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w./-]+):(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    for line in commands.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["make"]:
            assert {word for word in words[1:] if "=" not in word} <= targets, line
        if words[:1] == ["inversescope"] and not words[1].startswith("-"):
            section = re.search(rf"^## `inversescope {re.escape(words[1])}`\n(.*?)(?=^## |\Z)", page, re.S | re.M)
            assert section, line
            options = {word.split("=")[0] for word in words[2:] if re.match(r"--?[a-z]", word)}
            assert options <= set(re.findall(r"--?[a-z][\w-]*", section[1])), line


@pytest.mark.parametrize("code", fences("python"))
def test_documented_imports_resolve(code: str):
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            for name in node.names:
                importlib.import_module(name.name)
        if isinstance(node, ast.ImportFrom):
            assert node.module
            module = importlib.import_module(node.module)
            assert [name.name for name in node.names if not hasattr(module, name.name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    targets = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_site_builds(tmp_path: Path):
    """Warnings are errors: a page that is missing, an anchor that leads nowhere, a name that the package lacks."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr + built.stdout
    assert "inversescope.inverter.Inverter.invert" in (tmp_path / "site" / "api" / "index.html").read_text("utf-8")
