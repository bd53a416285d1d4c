"""Vega, Vega-Lite and Vega's interpreter, unchanged as published, each with its licence; hashes in vendored.json."""

from __future__ import annotations

import re
from importlib import resources

_LIBRARIES = ("vega.min.js", "vega-lite.min.js")
_INTERPRETER = "vega-interpreter.js"
_IMPORT = re.compile(r"^import (\{[^}]+\}) from 'vega-util';$", re.M)
_EXPORT = re.compile(r"^export \{ expression as expressionInterpreter \};$", re.M)
_SOURCE_MAP = re.compile(r"^//# sourceMappingURL=.*$", re.M)


def script() -> str:
    """All three as one classic script, which sets `vega`, `vegaLite` and `vegaInterpreter`; it needs no `eval`."""
    interpreter = _EXPORT.sub("return { expressionInterpreter: expression };", _text(_INTERPRETER))
    interpreter = _IMPORT.sub(r"const \1 = vega;", interpreter)
    wrapped = f"globalThis.vegaInterpreter = (() => {{\n{interpreter}\n}})();\n"
    return _SOURCE_MAP.sub("", "\n".join([*map(_text, _LIBRARIES), wrapped]))


def _text(name: str) -> str:
    return (resources.files(__name__) / name).read_text(encoding="utf-8")
