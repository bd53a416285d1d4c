"""Use from Python: several sites and texts at once, tables of the run, short reprs, files, devices, progress."""

from __future__ import annotations

import json
import sys
import types
from dataclasses import replace
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from refusals import refuses
from rich.console import Console
from small_subject import World

from inversescope import Run, Site, extras, progress
from inversescope.cli.tables.answers import explanation_table, inversion_table
from inversescope.explain import Explanation
from inversescope.inverter import Inversion, Inverter
from inversescope.report.explanation import render
from inversescope.view.shown import inversion as in_viewer

ONE = {"bandwidth": 0.5, "n": 4}


@pytest.fixture(scope="module")
def inverter(world: World) -> Inverter:
    return Inverter.load(world.run, device="cpu")


@pytest.fixture(scope="module")
def texts(inverter: Inverter) -> list[str]:
    return inverter.run.store.inputs("target").texts[:2]


@pytest.fixture(scope="module")
def explanation(inverter: Inverter, texts: list[str]) -> Explanation:
    found = inverter.explain(texts[0], site="resid_post.*", bandwidth=0.5, n=8)
    assert isinstance(found, Explanation)
    return found


# Sites and texts


@pytest.mark.parametrize("site", ["resid_post.1", Site("resid_post", 1), "blocks.1.hook_resid_post"])
def test_one_site_in_any_form_gives_one_inversion(inverter: Inverter, texts: list[str], site: str | Site):
    inversion = inverter.invert(texts[0], site=site, **ONE)
    assert isinstance(inversion, Inversion) and inversion.site == "resid_post.1"


@pytest.mark.parametrize(
    ("site", "named"),
    [
        (["resid_post.1", "z.1.0"], ["resid_post.1", "z.1.0"]),  # in the order given
        ("resid_post.*", ["resid_post.0", "resid_post.1"]),
        ("z.*.*", ["z.1.0"]),  # a wildcard gives a list, whatever it names
        ([Site("z", 1, 0)], ["z.1.0"]),
    ],
)
def test_several_sites_give_a_list(inverter: Inverter, texts: list[str], site: Any, named: list[str]):
    inversions: Any = inverter.invert(texts[0], site=site, **ONE)
    assert [inversion.site for inversion in inversions] == named
    assert inversions == [inverter.invert(texts[0], site=each, **ONE) for each in named]


def test_several_texts_give_a_list_and_with_sites_a_list_of_lists(inverter: Inverter, texts: list[str]):
    by_text = inverter.invert(texts, site="resid_post.1", **ONE)
    assert by_text == [inverter.invert(text, site="resid_post.1", **ONE) for text in texts]
    assert inverter.invert(tuple(texts), site=["resid_post.1"], **ONE) == [[each] for each in by_text]


def test_several_texts_are_explained_one_by_one(inverter: Inverter, texts: list[str]):
    seen: list[tuple[int, int]] = []
    both: Any = inverter.explain(
        texts, site="z.*.*", bandwidth=0.5, n=8, progress=lambda done, total, note="": seen.append((done, total))
    )
    assert [each.text for each in both] == texts and all(isinstance(each, Explanation) for each in both)
    alone: Any = inverter.explain(texts[1], site="z.*.*", bandwidth=0.5, n=8)
    assert both[1].record() == alone.record()
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    ("asked", "values"),
    [
        ({"text": []}, {"allowed": "role"}),
        ({"text": ["a", ["b"]]}, {"given": "message 0: 'b'", "allowed": "role"}),
        ({"site": []}, {"allowed": "resid_post.5"}),
        ({"site": ["resid_post.1", "z.1.1"]}, {"given": "z.1.1", "allowed": "z.1.0"}),
        ({"n": 0}, {"given": 0, "allowed": True}),
    ],
)
def test_what_is_neither_is_refused(inverter: Inverter, texts: list[str], asked: dict, values: dict):
    call: Any = inverter.invert
    with refuses(**values):
        call(**{"text": texts[0], "site": "resid_post.1", **ONE} | asked)


# What there is in a run


def test_a_run_says_what_it_can_be_asked(inverter: Inverter):
    assert list(map(str, inverter.sites)) == ["resid_post.0", "z.1.0", "resid_post.1"]
    assert inverter.resolutions == ()  # the levels of this run are bandwidths
    assert [level.resolution for level in inverter.run.levels[inverter.sites[0]]] == [None, None]


def test_tables_of_the_run_are_data_frames(inverter: Inverter, world: World):
    frame = inverter.results()
    assert len(frame) == pq.read_metadata(world.run / "score" / "results.parquet").num_rows
    assert {"site", "feature", "corrected"} <= set(frame.columns)
    assert "necessity" in inverter.results("causal/used.parquet").columns
    with refuses(given="score/nothing", allowed="score/results"):
        inverter.results("score/nothing")
    with refuses(given="proposals.parquet", remedy=True):
        inverter.results("propose/proposals")


def test_a_device_stands_in_place_of_the_configs(world: World):
    assert Inverter.load(world.run, device="cpu").run.subject.device.type == "cpu"
    with refuses(given="nowhere", allowed="cpu"):
        Run.open(world.run, device="nowhere").subject  # noqa: B018


# What is shown, and what is kept


def test_reprs_are_short(inverter: Inverter, texts: list[str], explanation: Explanation):
    inversion = inverter.invert(texts[0], site="resid_post.1", **ONE)
    objects = (inverter, inverter.run, inversion, inversion.samples[0], explanation, explanation.sites[0])
    findings = [finding for site in explanation.sites for finding in site.findings[:1]]
    for each in (*objects, *findings):
        assert repr(each).startswith(type(each).__name__) and len(repr(each)) < 250
    assert "resid_post.1" in repr(inversion) and texts[0][-20:] in repr(inversion)


def test_an_explanation_shows_in_a_notebook_with_texts_as_text(explanation: Explanation):
    page = explanation._repr_html_()
    assert all(site.site in page for site in explanation.sites) and "<table>" in page
    assert "&lt;" in Explanation("<b>", explanation.sites)._repr_html_()


def test_a_text_of_spaces_can_be_seen(inverter: Inverter, explanation: Explanation):
    blank, named = "\u3000\n", "‹ideographic space›‹newline›"
    inversion = replace(inverter.invert("Mary went", site="resid_post.1", **ONE), text=blank)
    explained = replace(explanation, text=blank)
    drawn = replace(inversion, samples=(replace(inversion.samples[0], text=blank, times=1),), text="Mary")
    for table in (inversion_table(inversion), explanation_table(explained), inversion_table(drawn)):
        with (console := Console(width=200)).capture() as written:
            console.print(table)
        assert named in written.get()
    pages = [each._repr_html_() for each in (inversion, explained, drawn)]
    assert all(named in page for page in (*pages, render(explained.record()), repr(inversion), repr(explained)))
    assert blank == inversion.record()["text"]
    assert in_viewer(drawn)["rows"][0]["pieces"] == ["", named]


def test_records_say_what_made_them_and_are_saved(inverter: Inverter, explanation: Explanation, tmp_path: Path):
    wanted = {"model": inverter.run.subject.name, "run": str(inverter.run.folder), "run_seed": 3, "seed": 0}
    inversion = inverter.invert("Mary went", site="resid_post.1", **ONE)
    for each in (inversion, explanation):
        assert wanted.items() <= each.record()["made_by"].items()
        each.save(tmp_path / "record.json")
        assert json.loads((tmp_path / "record.json").read_text()) == json.loads(each.to_json()) == each.record()
        with refuses(given="record.txt", allowed=".json"):
            each.save(tmp_path / "record.txt")
    explanation.save(tmp_path / "page.html")
    assert json.loads((tmp_path / "page.json").read_text()) == explanation.record()
    page = (tmp_path / "page.html").read_text()
    assert all(str(value) in page for value in wanted.values())


def test_charts_hold_their_values(inverter: Inverter, explanation: Explanation):
    inversion = inverter.invert("Mary went", site="resid_post.1", **ONE)
    bundle = inversion.chart()._repr_mimebundle_()
    values = bundle["application/vnd.vegalite.v6+json"]["data"]["values"]
    assert sum(value["draws"] for value in values) == len(inversion.samples)
    shown = explanation.chart().spec["data"]["values"]
    assert {value["hypothesis"] for value in shown} == set(explanation.table())
    json.dumps([bundle, shown], allow_nan=False)
    assert inverter.run.chart().spec == inverter.run.plot.overview().spec


def test_a_feature_that_is_none_is_refused_with_those_there_are(inverter: Inverter):
    with refuses(given="colour", allowed="subject"):
        inverter.invert("Mary went", site="resid_post.1", **ONE).shared("colour")


def test_the_package_is_typed():
    assert (resources("inversescope") / "py.typed").is_file()


# Progress and installation


class Cell:
    """The output of a notebook's cell."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def display(self, *_: object, **__: object) -> None:
        pass

    def update(self, page: Any) -> None:
        self.shown.append(page.data)


def test_in_a_notebook_progress_is_a_bar_by_default(
    inverter: Inverter, texts: list[str], monkeypatch: pytest.MonkeyPatch
):
    cell = Cell()
    shell = types.SimpleNamespace(kernel=None)
    monkeypatch.setattr(sys.modules.get("IPython") or __import__("IPython"), "get_ipython", lambda: shell)
    monkeypatch.setattr("IPython.display.DisplayHandle", lambda: cell)
    inverter.invert(texts, site="resid_post.1", **ONE)
    assert ['max="2"' in page for page in cell.shown] == [True, True, False] and cell.shown[-1] == ""
    cell.shown.clear()
    inverter.invert(texts, site="resid_post.1", progress=progress.silent, **ONE)
    assert cell.shown == []


def test_outside_of_a_notebook_it_is_silent():
    with progress.watched(None, "work") as report:
        assert report is progress.silent


def test_nobody_is_sent_to_an_index_that_lacks_the_package():
    root = Path(__file__).parents[1]
    found = [path for folder in ("src", "docs") for path in (root / folder).rglob("*") if path.suffix in (".py", ".md")]
    for path in (*found, root / "README.md", root / "CONTRIBUTING.md"):
        assert "faults.md" in path.name or 'install "inversescope' not in path.read_text(), path


def test_extras_are_installed_by_the_names_of_their_packages(monkeypatch: pytest.MonkeyPatch):
    wanted = ["numpy", 'scikit-learn; extra == "arena"', 'openai>=3; extra == "endpoint"']
    monkeypatch.setattr(extras.metadata, "requires", lambda _: wanted)
    assert extras.install("arena") == "pip install scikit-learn"
    assert extras.install("endpoint") == "pip install 'openai>=3'"
    monkeypatch.setattr(extras.metadata, "requires", lambda _: None)
    assert extras.install("arena").startswith('pip install -e ".[arena]"')
