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
# Files whose docstrings or words are not mended yet. The lists only shrink.
PENDING: frozenset[str] = frozenset(
    {
        "arena/generated.py",
        "arena/measure.py",
        "calibrate/calibrate.py",
        "causal/causal.py",
        "causal/effects.py",
        "causal/used.py",
        "cli/ask.py",
        "cli/comparisons.py",
        "cli/progress.py",
        "cli/proposals.py",
        "cli/runs.py",
        "cli/shared.py",
        "cli/tables/answers.py",
        "cli/tables/looking.py",
        "cli/tables/needs.py",
        "cli/tables/requested.py",
        "cli/tables/runs.py",
        "cli/working.py",
        "collect/collect.py",
        "collect/inputs.py",
        "collect/store.py",
        "config.py",
        "explain/__init__.py",
        "explain/explain.py",
        "explain/explanation.py",
        "explain/prior.py",
        "explain/replaced.py",
        "features/annotators/__init__.py",
        "features/annotators/annotator.py",
        "features/annotators/sentiment.py",
        "features/annotators/speech.py",
        "features/annotators/topics.py",
        "features/candidates.py",
        "features/feature_config.py",
        "features/functions.py",
        "features/language.py",
        "files.py",
        "generator/conditioning/__init__.py",
        "inverter.py",
        "plan/doctor.py",
        "plan/footprint.py",
        "plan/needs.py",
        "position.py",
        "propose/endpoint/client.py",
        "propose/proposing.py",
        "records/record.py",
        "report/arena.py",
        "report/explanation.py",
        "report/page.py",
        "report/records.py",
        "report/targets.py",
        "run/extend.py",
        "run/pipeline.py",
        "run/provenance.py",
        "run/run.py",
        "sample/sample.py",
        "sample/verify.py",
        "score/compare.py",
        "score/diagnostics.py",
        "score/methods.py",
        "score/mine.py",
        "score/quality.py",
        "score/score.py",
        "sites.py",
        "stats/intervals.py",
        "stats/resampling.py",
        "stats/two_sample.py",
        "stats/weights.py",
        "streams.py",
        "subject/architecture.py",
        "subject/architectures.py",
        "subject/batches.py",
        "subject/bundled.py",
        "subject/capture.py",
        "subject/loading.py",
        "subject/packing.py",
        "subject/patching.py",
        "subject/projections.py",
        "subject/site_checks.py",
        "subject/subject.py",
        "subject/trimmed_copy.py",
        "tasks/chat.py",
        "tasks/chat_requests.py",
        "tasks/entities.py",
        "tasks/ioi.py",
        "tasks/ioi_templates.py",
        "tasks/known_answers.py",
        "tasks/ravel.py",
        "tasks/registry.py",
        "tasks/task.py",
        "tasks/texts.py",
        "train/checkpoint.py",
        "train/pairs.py",
        "train/train.py",
        "verdicts/calibration.py",
    }
)
PENDING_PAGES = frozenset({"architecture.md", "run-directory.md"})
SENTENCE = re.compile(r"(?<=[.!?:])\s+|\n\s*\n")
LISTED = re.compile(r"^\s+\S+\s+(.*)$", re.M)


def sentences(docstring: str) -> list[str]:
    return [sentence.strip() for sentence in SENTENCE.split(docstring) if sentence.strip()]


def docstrings(tree: ast.Module) -> list[str]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, documented)]
    return [docstring for docstring in found if docstring]


def private_words(text: str) -> list[str]:
    """Words of the list in a text, also as a part of a name such as `told_apart`."""
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower())
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
    if str(path.relative_to(PACKAGE)) not in PENDING:
        assert offences(path) == []


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
    if page.name not in PENDING_PAGES:
        assert private_words(page.read_text(encoding="utf-8")) == []
