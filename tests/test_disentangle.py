"""Cause, Isolate and Disentangle: by hand on a table, and on a model of which they are known at every site."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from planted_entities import ANIMALS, write_animals
from refusals import check, printed, refuses
from report_fixture import embedded
from run_contract import differences
from small_subject import call, config_text, save_subject
from subject_fixture import tiny_model

from inversescope import files
from inversescope.disentangle import disentangle as step
from inversescope.disentangle.interventions import class_means
from inversescope.disentangle.metric import MATCHED, MEANS, METHODS, NOTHING, OWN, POOL, SAMPLES, SHUFFLED, results
from inversescope.progress import silent
from inversescope.records.levels import Level
from inversescope.run.run import Run
from inversescope.sites import Site
from inversescope.subject import Subject
from inversescope.subject.patching import Source, logits
from inversescope.tasks import entries, registry

EMBED, AFTER_COLOUR, AFTER_BOTH = "embed", "resid_post.0", "resid_post.1"


# The metric


def run_row(attribute: str, asked: str, target: int, source: float, base: float, pairs: int = 2) -> dict:
    return {
        **{"site": "resid_post.3", "method": POOL, "attribute": attribute, "asked": asked},
        **{"target": target, "pairs": pairs, "source": source, "base": base},
    }


def test_the_metric_of_a_table_counted_by_hand():
    runs = [
        run_row("country", "country", 0, 1.0, 0.0), run_row("country", "country", 1, 0.5, 0.25),
        run_row("country", "language", 0, 0.5, 0.5), run_row("country", "language", 1, 1.0, 0.0),
        run_row("country", "continent", 0, 0.0, 1.0),  # with target 1 no source differs in its continent
        run_row("language", "language", 1, 0.0, 1.0, pairs=4),
    ]  # fmt: skip
    table, isolation = results(runs, ["country", "continent", "language"], {Site("resid_post", 3): Level(20, 0.5)})
    found = {row["attribute"]: row for row in table.to_pylist()}
    country = found["country"]
    assert (country["cause"], country["targets"], country["pairs"]) == (0.75, 2, 4)
    assert country["isolate"] == pytest.approx((0.75 + 0.0) / 2)
    assert country["disentangle"] == pytest.approx(((1 + 0.75) / 2 + (0.5 + 0) / 2) / 2)
    assert 0 <= country["cause_low"] < 0.75 < country["cause_high"] <= 1
    assert (country["point"], country["layer"]) == ("resid_post", 3)
    assert (country["resolution"], country["bandwidth"]) == (20, 0.5)
    assert (found["continent"]["cause"], found["continent"]["targets"]) == (None, 0)
    assert found["language"]["cause"] == 0 and found["language"]["isolate"] is None
    assert found["language"]["disentangle"] is None and found["language"]["cause_low"] is None  # one target
    assert found[None]["cause"] == pytest.approx((1 + (0.5 + 0) / 2) / 2) and found[None]["pairs"] == 8
    each = {(row["attribute"], row["asked"]): row for row in isolation.to_pylist()}
    assert each["country", "language"]["isolate"] == 0.25 and each["country", "language"]["targets"] == 2
    assert each["country", "continent"]["isolate"] == 1 and set(each) == {
        ("country", "language"),
        ("country", "continent"),
    }


def test_no_runs_make_empty_tables():
    assert [table.num_rows for table in results([], ["country"], {})] == [0, 0]


def test_means_are_weighted_and_leave_out_the_undecided():
    values = {(i,): torch.tensor([float(i)]) for i in range(4)}
    found = class_means({(0,): 1.0, (1,): 3.0, (2,): 1.0, (3,): 9.0}, values, lambda x: ("a", "a", "b", None)[x[0]])
    assert {name: mean.tolist() for name, mean in found.items()} == {"a": [0.75], "b": [2.0]}


# An activation in the middle of a prompt


@pytest.mark.parametrize("once", (True, False))
def test_an_activation_in_the_middle_stays_whatever_is_written_behind(once: bool, monkeypatch: pytest.MonkeyPatch):
    subject, site, tokens, place = Subject.from_model(tiny_model("llama")), Site("resid_post", 1), (1, 7, 3, 9, 12), 2
    value = torch.linspace(-1, 1, subject.dimension(site))
    if not once:
        monkeypatch.setattr("inversescope.subject.patching._beginning", lambda subject, tokens: None)
    source = Source(subject, tokens, place)
    assert source.once == once
    found = source.logits([{}, {site: value}], [(5, 8), (8, 5)])
    torch.testing.assert_close(found[0], logits(subject, (*tokens, 5, 8)), rtol=1e-4, atol=1e-4)

    def put(module: object, given: object, output: torch.Tensor) -> torch.Tensor:
        changed = output.clone()
        changed[:, place] = value
        return changed

    handle = subject.model.base_model.layers[1].register_forward_hook(put)
    with torch.inference_mode():
        expected = subject.model(input_ids=torch.tensor([[*tokens, 8, 5]])).logits[0, -1]
    handle.remove()
    torch.testing.assert_close(found[1], expected, rtol=1e-4, atol=1e-4)
    assert (found[1] - logits(subject, (*tokens, 8, 5))).abs().max() > 1e-3


# A model of which everything is known


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("animals")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INVERSESCOPE_CACHE", str(folder / "cache" / "subject"))  # where answers are kept, too
        patch.setattr(registry, "_ENTRIES", entries())  # the task is forgotten afterwards
        config = write_animals(folder)
        assert call("run", config, "--out", folder / "run", "--allow-code") == 0
        assert call("disentangle", folder / "run") == 0
        yield folder / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def measured(run: Path) -> dict[tuple[str, str, str | None], dict]:
    rows = pq.read_table(run / "disentangle" / "results.parquet").to_pylist()
    return {(row["site"], row["method"], row["attribute"]): row for row in rows}


def test_a_full_swap_causes_what_is_still_read_from_there_and_isolates_what_is_not(finished: Path):
    found = measured(finished)
    assert {method for _, method, _ in found} == set(METHODS)
    for method in (SAMPLES, POOL):
        for attribute in ("colour", "size"):  # both are read from the embedding: all changes
            row = found[EMBED, method, attribute]
            assert (row["cause"], row["isolate"], row["disentangle"]) == (1, 0, 0.5) and row["targets"] == 8
            assert row["cause_low"] > 0.6 and row["isolate_high"] < 0.4
            after = found[AFTER_BOTH, method, attribute]  # nothing is read any more
            assert (after["cause"], after["isolate"], after["disentangle"]) == (0, 1, 0.5)
        colour, size = (found[AFTER_COLOUR, method, attribute] for attribute in ("colour", "size"))
        assert (colour["cause"], colour["isolate"]) == (0, 0)  # of the colour, only the size changes
        assert (size["cause"], size["isolate"], size["disentangle"]) == (1, 1, 1)


def test_what_agrees_in_the_rest_isolates_and_so_does_a_difference_of_means(finished: Path):
    found = measured(finished)
    for method in (MATCHED[SAMPLES], MATCHED[POOL], MEANS[POOL]):
        for attribute in ("colour", "size", None):
            row = found[EMBED, method, attribute]
            assert (row["cause"], row["isolate"], row["disentangle"]) == (1, 1, 1)
    assert found[EMBED, MEANS[SAMPLES], "colour"]["cause"] == 1


def test_controls_change_nothing_and_what_is_shuffled_brings_no_other_values(finished: Path):
    found = measured(finished)
    for site in (EMBED, AFTER_COLOUR, AFTER_BOTH):
        for method in (NOTHING, OWN):  # contexts do not matter to this model
            row = found[site, method, None]
            assert (row["cause"], row["isolate"]) == (0, 1)
    # Of two colours, whatever differs from the target's is the other one.
    shuffled = found[EMBED, SHUFFLED, "colour"]
    assert (shuffled["cause"], shuffled["isolate"], shuffled["disentangle"]) == (1, None, None)


def test_records_keep_the_contract_and_count_the_questions(finished: Path):
    assert differences(finished) == []
    counts = files.read_json(finished / "disentangle" / "questions.json")
    each = {"questions": 16, "right": 16}
    assert counts["attributes"] == {"colour": each, "size": each} and counts["left_out"] == {}
    files.check(finished / "disentangle")


def test_the_report_shows_it(finished: Path):
    page = finished / "report" / "report.html"
    assert 'data-figure="disentangle"' in page.read_text(encoding="utf-8")
    shown = embedded(page)["disentangled"]
    rows = pq.read_table(finished / "disentangle" / "results.parquet").to_pylist()
    assert shown["cause"] == [row["cause"] for row in rows]
    assert [shown["method"]["levels"][code] for code in shown["method"]["codes"]] == [row["method"] for row in rows]


def test_only_questions_that_are_answered_right_count(run: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.rmtree(run / "disentangle")
    opened = Run.open(run)
    honest = opened.task.questions

    red = [opened.task.labels(x)["colour"] == "red" for x in opened.store.inputs("target").tokens]

    def confusing(tokens):  # where the colour of a red animal is wanted, the question is about a grey one
        return [
            question._replace(before="that cat3")
            if question.attribute == "colour" and opened.task.labels(tokens)["colour"] == "red"
            else question
            for question in honest(tokens)
        ]

    monkeypatch.setattr(opened.task, "questions", confusing)
    step.disentangle(opened, silent)
    counts = files.read_json(run / "disentangle" / "questions.json")["attributes"]
    assert counts["size"]["right"] == 16 and counts["colour"] == {"questions": 16, "right": 2 * red.count(False)}
    rows = pq.read_table(run / "disentangle" / "runs.parquet").to_pylist()
    assert {row["target"] for row in rows if row["asked"] == "colour"} == {
        i for i, is_red in enumerate(red) if not is_red
    }
    assert {row["target"] for row in rows if row["asked"] == "size"} == set(range(8))


def test_interrupted_it_goes_on_with_the_sites_that_are_left(run: Path, finished: Path):
    shutil.rmtree(run / "disentangle")

    def stop(done: int, total: int, note: str = "") -> None:
        if note == "sites x targets" and done > 8:
            raise KeyboardInterrupt

    opened = Run.open(run)
    with pytest.raises(KeyboardInterrupt):
        step.disentangle(opened, stop)
    assert (run / "disentangle" / "part-00000.parquet").exists() and not files.finished(run / "disentangle")
    seen: list[int] = []
    step.disentangle(opened, lambda done, total, note="": seen.append(done) if note == "sites x targets" else None)
    assert seen[0] == 8 and seen[-1] == 24  # of the first site nothing is run again
    for name in ("runs", "results", "isolation"):
        tables = [pq.read_table(folder / "disentangle" / f"{name}.parquet") for folder in (run, finished)]
        assert tables[0].equals(tables[1])


def test_what_stands_on_other_samples_is_refused(run: Path, capsys: pytest.CaptureFixture[str]):
    files.write_sealed(run / "verify" / files.MANIFEST, files.manifest(run / "verify") | {"again": True})
    assert call("disentangle", run) == 2
    check(printed(capsys.readouterr().err), "verify", given=True, allowed=True, remedy=True)


def test_a_task_that_asks_nothing_is_refused_and_so_is_a_run_that_is_not_verified(tmp_path: Path, run: Path):
    (tmp_path / "ioi.toml").write_text(config_text(save_subject(tmp_path / "subject")))
    assert call("run", tmp_path / "ioi.toml", "--out", tmp_path / "ioi", "--until", "task") == 0
    with refuses(given="'ioi'", allowed=("cities", "ravel")):
        step.disentangle(Run.open(tmp_path / "ioi"), silent)
    shutil.rmtree(run / "disentangle")
    (run / "verify" / files.MANIFEST).unlink()
    with refuses("verify", given=run, remedy=True):
        step.disentangle(Run.open(run), silent)
    assert not (run / "disentangle").exists()


def test_a_subject_that_answers_nothing_right_is_told(run: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.rmtree(run / "disentangle")
    monkeypatch.setattr(step.Query, "answers", lambda self, rows: [None] * len(rows))
    with refuses(given="colour: 0 of 16"):
        step.disentangle(Run.open(run), silent)


def test_questions_of_an_entity_and_of_none(finished: Path):
    task = Run.open(finished).task
    subject = Run.open(finished).subject
    asked = task.questions(subject.encode("the cat0"))
    assert [question.prompt for question in asked[:2]] == ["a cat0 Colour", "the cat0 Colour"]
    assert {question.attribute for question in asked} == set(task.answers) == {"colour", "size"}
    assert task.questions(subject.encode("the")) == [] and task.answers["size"] == ["big", "small"]
    assert len(ANIMALS) == 8
