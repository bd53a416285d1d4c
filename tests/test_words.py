"""Words of the code and of the documents: docstrings begin with the thing or the verb, and private words stay out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "inversescope"
MODULES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted([*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "docs").glob("*.py")])
PAGES = sorted(page for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")] if "lab" not in page.parts)

CLAUSE_WORDS = {"What", "Whether", "How", "Those", "Of", "Within", "Where", "Why", "Which"}
PRIVATE_WORDS = (
    "witness", "witnesses", "summon", "summoned", "told", "heard", "standing", "lesson", "lessons", "glance", "lender",
    "borrow", "borrowed", "reliance", "competitor", "competitors", "contest", "doubt", "favour", "favours",
)  # fmt: skip
WORDS_OF_TEXTS = {  # of texts, which may have any word
    "tasks/chat_requests.py": ["witness"],
    "tasks/facts_words.py": ["heard", "told"],
}
SENTENCE = re.compile(r"(?<=[.!?:])\s+|\n\s*\n")
LISTED = re.compile(r"^\s+\S+\s+(.*)$", re.M)


def sentences(docstring: str) -> list[str]:
    return [sentence.strip() for sentence in SENTENCE.split(docstring) if sentence.strip()]


def docstrings(tree: ast.Module) -> list[str]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, documented)]
    return [docstring for docstring in found if docstring]


def private_words(text: str) -> list[str]:
    """Words of the list in a text, also as a part of a name such as `told_label`; but "told apart" is statistics."""
    words = re.findall(r"[a-z]+", re.sub(r"told\s+apart", "", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower()))
    return sorted(set(words) & set(PRIVATE_WORDS))


def offences(path: Path) -> list[str]:
    code = path.read_text(encoding="utf-8")
    begun = [
        sentence
        for docstring in docstrings(ast.parse(code))
        for sentence in sentences(docstring)
        if sentence.split()[0] in CLAUSE_WORDS
    ]
    return begun + private_words(code)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_code_keeps_to_the_words_of_the_field(path: Path):
    assert offences(path) == WORDS_OF_TEXTS.get(str(path.relative_to(PACKAGE)), [])


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_keep_to_them_too(path: Path):
    assert offences(path) == []


def test_every_module_has_a_docstring():
    assert [path for path in MODULES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))] == []


def test_the_tree_begins_each_line_with_the_thing():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    tree = page.partition("```text\n")[2].partition("```")[0]
    first = [described.split()[0] for described in LISTED.findall(tree)]
    assert len(first) > 200
    assert {word for word in first if word.capitalize() in CLAUSE_WORDS} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documents_use_no_private_word(page: Path):
    assert private_words(page.read_text(encoding="utf-8")) == []
