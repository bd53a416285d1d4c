"""First look: the nearest of the subject's own texts while its pool is drawn, and a pool that goes on where it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from small_subject import save_subject
from torch.testing import assert_close

from inversescope.natural_text import pool
from inversescope.natural_text.first_look import FirstLook, Nearest
from inversescope.natural_text.natural_text import NaturalText
from inversescope.natural_text.pool import open_pool
from inversescope.natural_text.prior import Prior
from inversescope.subject import Subject
from inversescope.units import Units
from inversescope.view.asking import Asking
from inversescope.view.jobs import Job
from inversescope.view.models import Models
from inversescope.view.question import Question

TEXT, SITE, LENGTH, DRAWS = "Then, Mary and John", "resid_post.1", 4, 600


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return Subject.load(str(save_subject(tmp_path_factory.mktemp("first") / "subject")), device="cpu", dtype="float32")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("INVERSESCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pool, "STEP", LENGTH)
    yield


def looked(subject: Subject) -> tuple[list[Nearest], pool.Pool]:
    """What is seen while the pool is opened, and the pool."""
    look, seen = FirstLook.at(subject, TEXT, SITE, LENGTH), list[Nearest]()
    return seen, open_pool(subject, Prior(), LENGTH, DRAWS, seen=lambda *drawn: seen.append(look.add(*drawn)))


def test_the_nearest_are_those_of_whole_passes(subject: Subject):
    seen, drawn = looked(subject)
    assert [each.texts for each in seen] == [256, 512, DRAWS]
    (site,) = subject.sites([SITE])
    rows = [(*subject.prefix, *row) for row in drawn.tokens.tolist()]
    read = subject.capture(rows, [site]).activations[site].float()
    target = subject.capture([tuple(subject.encode(TEXT))], [site]).activations[site].float()
    for each in seen:  # of the texts so far
        units = Units.of(read[: each.texts])
        distance = (units.standardize(read[: each.texts]) - units.standardize(target)).square().mean(1).sqrt()
        shown = [one.distance for one in each.nearest]
        assert shown == sorted(shown) and len({one.text for one in each.nearest}) == len(shown) > 3
        assert shown[0] == pytest.approx(float(distance.min()), abs=1e-3)
        nearest = int(distance.argmin())
        assert each.nearest[0].tokens == tuple(drawn.tokens[nearest].tolist())
        assert each.nearest[0].log_p == pytest.approx(float(drawn.log_p[nearest].sum()), abs=1e-3)
    assert seen[-1].unrelated > 0


def test_a_pool_that_is_there_is_seen_at_once(subject: Subject):
    first, _ = looked(subject)
    again, _ = looked(subject)
    assert [each.texts for each in again] == [DRAWS]
    assert [each.text for each in again[0].nearest] == [each.text for each in first[-1].nearest]


def test_a_pool_that_was_stopped_goes_on(subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _, whole = looked(subject)
    monkeypatch.setenv("INVERSESCOPE_CACHE", str(tmp_path / "other"))
    drawn, batch = [], pool._batch
    monkeypatch.setattr(pool, "_batch", lambda *given: drawn.append(given[3]) or batch(*given))

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_pool(subject, Prior(), LENGTH, DRAWS, seen=stop)
    seen, again = looked(subject)
    assert drawn == [256, 256, 88] and [each.texts for each in seen] == [256, 512, DRAWS]
    for name in ("tokens", "log_p", "hidden", "normaliser", "mean_next"):
        assert torch.equal(getattr(again, name), getattr(whole, name)), name
    assert_close(again.key_values.layers[0][0], whole.key_values.layers[0][0])
    assert not list(again.folder.glob("part-*"))


def test_a_pool_that_another_process_draws_is_waited_for(subject: Subject, monkeypatch: pytest.MonkeyPatch):
    """And then not drawn again."""
    folder = pool._folder(subject, Prior(), LENGTH, DRAWS, 0)
    folder.mkdir(parents=True)
    drawn, notes, batch, other = [], [], pool._batch, FileLock(folder / ".lock")
    monkeypatch.setattr(pool, "_batch", lambda *given: drawn.append(given[3]) or batch(*given))

    def progress(done: int, total: int, note: str = "", /) -> None:
        if other.is_locked:
            notes.append(note)
            assert not drawn
            other.release()
            open_pool(subject, Prior(), LENGTH, DRAWS)  # by the other

    other.acquire()
    found = open_pool(subject, Prior(), LENGTH, DRAWS, progress=progress)
    assert len(found) == DRAWS and drawn == [256, 256, 88] and "another process" in notes[0]


@pytest.mark.slow
def test_the_finest_that_is_to_be_believed_is_answered(subject: Subject):
    text = NaturalText.open(subject, sites=[SITE], length=LENGTH)
    fine = text.invert(TEXT, site=SITE, bits=23)
    assert not fine.believed and fine.believed_bits is not None
    coarser = text.invert(TEXT, site=SITE, bits=23, coarser=True)
    assert coarser.believed and coarser == text.invert(TEXT, site=SITE, bits=fine.believed_bits)


@pytest.mark.slow
def test_the_viewer_shows_the_look_before_the_draws(subject: Subject):
    events: list[Any] = []
    asking = Asking(Models(), {}, subject.name)
    asked = Question.model_validate({"text": TEXT, "site": SITE, "n": 20})
    for expected in (4, 1):  # batches of the pool; the second question finds it there
        events.clear()
        job = Job(lambda job: asking.invert(job, asked), events.append)
        while job.step():
            pass
        assert not [event for event in events if event and event["event"] == "error"]
        draws = [event for event in events if event and event["event"] == "draws"]
        looks = [event for event in draws if event.get("look")]
        assert len(looks) == expected and draws[:-1] == looks and draws[-1]["done"] and not looks[-1]["done"]
        assert looks[-1]["draws"] == 1024 and all(row["weight"] is None for row in looks[-1]["rows"])
        assert "bits kept" in draws[-1]["level"] and draws[-1]["rows"]
