"""Documents of a corpus: files of a folder, rows of a file, or what comes with Python itself."""

from __future__ import annotations

import ast
import importlib
import platform
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from inversescope.errors import UserError
from inversescope.tasks.text_files import read_file

SUFFIXES = (".txt", ".md", ".rst", ".py")
PYTHON = "python"
# Modules of the standard library with long docstrings, and sources of some length.
MODULES = """
abc argparse ast asyncio/base_events asyncio/events asyncio/streams base64 bdb bisect calendar cgi cmd code
codecs collections/__init__ colorsys concurrent/futures/_base configparser contextlib copy csv dataclasses
datetime decimal difflib dis doctest email/_header_value_parser email/message email/policy enum filecmp
fileinput fnmatch fractions ftplib functools getopt gettext glob graphlib gzip heapq hmac html/parser
http/client http/cookiejar http/cookies http/server imaplib importlib/_bootstrap importlib/resources/abc inspect
ipaddress json/decoder json/encoder linecache locale logging/__init__ logging/config logging/handlers mailbox
mimetypes netrc nntplib numbers optparse os pathlib pdb pickle pickletools pkgutil platform plistlib poplib
pprint profile pstats pydoc queue quopri random reprlib sched secrets selectors shelve shlex shutil signal site
smtplib socket socketserver ssl statistics string struct subprocess symtable sysconfig tabnanny tarfile tempfile
textwrap threading timeit tokenize trace traceback turtle types typing unittest/case unittest/mock urllib/parse
urllib/request urllib/robotparser uuid warnings wave weakref webbrowser xml/dom/minidom xml/etree/ElementTree
xml/sax/handler zipfile
"""
_WRAPPED = re.compile(r"(?<=[^\s:*=\-])\n(?=[^\s*=\-])")  # a line break within a paragraph


class Document(NamedTuple):
    """One document; `kind` is its folder, its label, or None."""

    name: str
    text: str
    kind: str | None


def documents_of_folder(folder: Path) -> Iterator[Document]:
    """Every text file below a folder; its kind is the first folder on the way to it.

    Raises:
        UserError: there is no such folder, no text file in it, or one that is not UTF-8.
    """
    if not folder.is_dir():
        raise UserError("there is no such folder", given=folder)
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix.lower() in SUFFIXES)
    if not paths:
        raise UserError("the folder holds no text file", given=folder, allowed=", ".join(SUFFIXES))
    for path in paths:
        place = path.relative_to(folder)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(
                "a document is not UTF-8", given=path, remedy="convert it, or take it out of the folder"
            ) from error
        yield Document(place.as_posix(), text, place.parts[0] if len(place.parts) > 1 else None)


def documents_of_file(path: Path, column: str, kind: str | None) -> Iterator[Document]:
    """Every row of a file; its kind is the value of a column, if one is named.

    Raises:
        UserError: the file cannot be read, a column is missing, or a row holds something that is not text.
    """
    columns, rows = read_file(path)
    for name in (column, *([kind] if kind else [])):
        if name not in columns:
            raise UserError("there is no such column", given=f"{name} of {path}", allowed=", ".join(columns))
    for where, row in rows:
        text = row.get(column) or ""
        if not isinstance(text, str):
            raise UserError("the text column holds something that is not text", given=f"{where}: {text!r}")
        label = row.get(kind) if kind else None
        yield Document(where, text, None if label in (None, "") else str(label))


def documents_of_python() -> Iterator[Document]:
    """Documents that come with Python: the pages of its language reference, docstrings, and source."""
    topics = importlib.import_module("pydoc_data.topics").topics
    for name, text in sorted(topics.items()):
        yield Document(f"reference/{name}", _WRAPPED.sub(" ", text), "reference")
    library = Path(sysconfig.get_path("stdlib"))
    for number, module in enumerate(MODULES.split()):
        path = library / f"{module}.py"
        if not path.is_file():
            continue  # of another version of Python
        source = path.read_text(encoding="utf-8")
        # The docstring is one document and the source another, with nothing in common: half of the modules for each.
        if number % 2:
            yield Document(f"docstrings/{module}", _docstrings(source), "docstrings")
        else:
            yield Document(f"code/{module}", _without_docstrings(source), "code")


def python_name() -> str:
    """The included corpus by name and version."""
    return (
        f"Python {platform.python_version()}: pages of the language reference (pydoc_data.topics), docstrings and "
        "source of the standard library"
    )


def _documented(source: str) -> Iterator[tuple[ast.AST, str]]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            yield node, text


def _docstrings(source: str) -> str:
    return "\n\n".join(_WRAPPED.sub(" ", text) for _, text in _documented(source))


def _without_docstrings(source: str) -> str:
    lines = source.splitlines()
    for node, _ in _documented(source):
        first = node.body[0]  # type: ignore[attr-defined]
        for number in range(first.lineno - 1, first.end_lineno or first.lineno):
            lines[number] = ""
    return "\n".join(lines)
