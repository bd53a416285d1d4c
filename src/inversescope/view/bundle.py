"""Runs as a static folder that can be shared: any file server shows it, and so does a double click on its index.

It holds the page, the records that the page shows, and the stored draws behind them, site by site up to a size. Paths
of this machine are left out.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from inversescope import files
from inversescope.charts import elements
from inversescope.charts.page import embed
from inversescope.errors import UserError
from inversescope.run.sealed import read_provenance, read_resolved
from inversescope.view import runs, static, stored
from inversescope.view.report_page import report_page

LARGEST = 100  # MB of the stored draws, by default
MODULES = (
    *elements.CHART,
    *("themes.js", "server.js", "state.js", "parts.js", "tokens.js", "sites.js", "draws.js", "explanation.js"),
    *("stored.js", "slider.js", "question.js", "invert.js", "runs.js", "main.js"),
)
STYLES = ("elements.css", "report.css", "view.css")
_SCRIPT = re.compile(r'<script type="module".*?</script>')
_POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'self' file:; "
    "style-src 'self' file:; img-src data: blob:; base-uri 'none'; form-action 'none'\">"
)
_SCRIPTS = '<script src="data/index.js" defer></script>\n<script src="files/page.js" defer></script>'


def write_bundle(
    folders: Mapping[str, Path], folder: Path, say: Callable[[str], None], largest: float = LARGEST
) -> list[str]:
    """Write the bundle of these runs, by their ids, and give the addresses of sites whose draws are left out.

    Args:
        folders: the runs, all of them finished.
        folder: new; it appears whole, or not at all.
        say: gets the size before anything is written.
        largest: most megabytes of stored draws.

    Raises:
        UserError: a run cannot be shown, there is none, or the folder exists.
    """
    if folder.exists():
        raise UserError("the folder of the bundle exists", given=folder, remedy="another name, or remove it")
    if not folders:
        raise UserError("there is no run to share", given="no run", remedy="inversescope view RUN --bundle DIR")
    for run in folders.values():
        runs.require_run(run)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bundle.", dir=folder.parent) as temporary:
        made = Path(temporary) / "bundle"
        _write_page(made)
        left_out = _write_records(folders, made / "data", say, int(largest * 1e6))
        made.rename(folder)
    return left_out


def _write_page(folder: Path) -> None:
    """The page: its modules as one script, which also runs where the page is a file."""
    (folder / "files").mkdir(parents=True)
    (folder / "data").mkdir()
    contents = static.contents()
    modules = "\n".join(elements.classic(contents[name].decode()) for name in MODULES)
    (folder / "files" / "page.js").write_text(f'(() => {{\n"use strict";\n{modules}\n}})();\n', encoding="utf-8")
    for name in ("vega.js", *STYLES):
        (folder / "files" / name).write_bytes(contents[name])
    page = _SCRIPT.sub(_SCRIPTS, static.shell("files")).replace("<title>", f"{_POLICY}\n<title>")
    (folder / "index.html").write_text(page, encoding="utf-8")


def _write_records(folders: Mapping[str, Path], data: Path, say: Callable[[str], None], most: int) -> list[str]:
    """Records as scripts, by the addresses under which the server has them."""
    names: dict[str, str] = {}
    listed, left_out, size = [], [], 0
    for run, folder in folders.items():
        hidden = _paths(folder)
        shown = runs.overview(run, folder)
        listed.append(json.loads(hidden(json.dumps(runs.line(run, folder)))))
        records = {f"/api/runs/{run}": shown}
        if runs.reported(shown):
            records |= {f"/api/runs/{run}/chart/{name}": {"spec": runs.chart(folder, name)} for name in runs.CHARTS}
            (data / f"{run}-report.html").write_text(hidden(report_page(folder)), encoding="utf-8")
        _write(data / f"{run}.js", records, hidden, names)
        sites = list(shown["levels_of_site"]) if shown["sampled"] else []
        for number, site in enumerate(sites):
            text = hidden(_script(dict(_samples(run, folder, shown, site))))
            if number == 0:
                about = f"about {len(text) * len(sites) / 1e6:.1f} MB of stored draws"
                say(f"{folder.name}: {about}, of which at most {most / 1e6:g} MB are written")
            if size + len(text) > most:
                left_out += sites[number:]
                break
            size += len(text)
            name = f"{run}-{number}"
            (data / f"{name}.js").write_text(text, encoding="utf-8")
            names |= {address: name for address, _ in _samples(run, folder, shown, site, addresses=True)}
    index = {"names": names, "records": {"/api/runs": {"runs": listed, "model": None}}}
    (data / "index.js").write_text(f"globalThis.inverseBundle = {embed(files.plain(index))};\n", encoding="utf-8")
    return left_out


def _write(path: Path, records: dict[str, Any], hidden: Callable[[str], str], names: dict[str, str]) -> None:
    path.write_text(hidden(_script(records)), encoding="utf-8")
    names |= dict.fromkeys(records, path.stem)


def _script(records: dict[str, Any]) -> str:
    return f"Object.assign(inverseBundle.records, {embed(files.plain(records))});\n"


def _samples(
    run: str, folder: Path, shown: dict[str, Any], site: str, *, addresses: bool = False
) -> Iterator[tuple[str, Any]]:
    """Stored draws of a site by their address in the page, for every target and level that has them."""
    for target, level, answer in stored.samples_of_site(folder, site, shown["targets"], addresses=addresses):
        query = urlencode({"site": site, "target": target, "level": json.dumps(level).removesuffix(".0")})
        yield f"/api/runs/{run}/samples?{query}", answer


def _paths(folder: Path) -> Callable[[str], str]:
    """Takes the paths of this machine out of a text: of each, its last part stays."""
    values = [*_strings(read_provenance(folder)), *_strings(read_resolved(folder)), str(folder.resolve()), str(folder)]
    absolute = {value for value in (*values, str(Path.home())) if Path(value).is_absolute() and len(value) > 1}
    longest_first = sorted(absolute, key=len, reverse=True)

    def hidden(text: str) -> str:
        for path in longest_first:
            text = text.replace(path, Path(path).name or "…")
        return text

    return hidden


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)
