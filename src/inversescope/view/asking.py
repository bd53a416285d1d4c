"""Work of one question, part by part: tokens of a text, draws that arrive as they are verified, an explanation."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inversescope.errors import UserError
from inversescope.verdicts import wording
from inversescope.view import shown
from inversescope.view.jobs import Job, Steps
from inversescope.view.models import Models
from inversescope.view.question import Ask, Question, source
from inversescope.view.runs import place

if TYPE_CHECKING:
    from inversescope.inverter.inverting import Inverting
    from inversescope.subject import Subject

FIRST, PARTS = 8, 12  # draws of the first part; parts of the whole, about
KEPT = 16  # answers whose draws can be weighed anew
TOKENS = 2000  # of a text, that the page shows
LOADING = {"event": "status", "words": "loading the model"}


class Asking:
    """Answers questions, in the threads that take turns with the models.

    Attributes:
        models: that are loaded.
        runs: folder of each run, by its id.
    """

    def __init__(self, models: Models, runs: dict[str, Path], model: str):
        self.models, self.runs, self._model = models, runs, model
        self._drawn: OrderedDict[str, Inverting] = OrderedDict()

    def release(self) -> None:
        """Give all memory back."""
        self._drawn.clear()
        self.models.release()

    def folder(self, run: str) -> Path:
        """The folder of a run.

        Raises:
            UserError: there is none of this id.
        """
        if run not in self.runs:
            raise UserError("there is no such run in this viewer", given=run[:80], remedy="inversescope view RUN")
        return self.runs[run]

    def tokens(self, job: Job, asked: Ask) -> Steps:
        """The tokens of a text, as people read them."""
        given = source(asked)
        if "vector" in given:
            raise UserError("a vector has no tokens", given="a vector", allowed="a text")
        yield from self._load(asked)
        subject = self._subject(asked)
        tokens = subject.encode(given["text"])[len(subject.prefix) :]
        if len(tokens) > TOKENS:
            raise UserError("the text is too long", given=f"{len(tokens):,} tokens", allowed=f"up to {TOKENS:,} tokens")
        longest = subject.longest
        yield {
            "event": "tokens",
            "tokens": _glyphs(subject, tokens),
            "longest": None if longest is None else longest - len(subject.prefix),
        }

    def sites(self, job: Job, asked: Ask) -> Steps:
        """The sites of a model, for natural text."""
        yield from self._load(asked)
        subject = self._subject(asked)
        points = [each for each in ("attn_out", "mlp_out", "resid_post") if each in subject.points]
        sites = subject.sites([f"{point}.*" for point in points])
        yield {"event": "sites", "places": [place(site, served=True) for site in sites], "model": subject.name}

    def invert(self, job: Job, asked: Question) -> Steps:
        """Draws for an activation as they are verified, each time all that there are."""
        if asked.run is None:
            yield from self._natural(job, asked)
            return
        inverting = yield from self._drawn_for(job, asked)
        part = max(FIRST, asked.n // PARTS)
        while inverting.done < len(inverting.tokens):
            inverting.read(FIRST if not inverting.done else part)
            self._keep(job.id, inverting)
            spent = self._spent(asked, inverting, job)
            left = len(inverting.tokens) - inverting.done if spent is None else 0
            yield {
                "event": "draws",
                **shown.inversion(inverting.inversion()),
                "wanted": asked.n,
                "done": left == 0,
                "ended": spent,
                "tokens_read": inverting.tokens_read,
                "seconds": job.seconds,
                "bandwidths": self._range(asked, inverting),
            }
            if left == 0:
                return

    def weigh(self, job: Job, of: str, bandwidth: float) -> Steps:
        """Draws that were made, weighed at another bandwidth: nothing is drawn or read again."""
        from inversescope.records.levels import Level

        if of not in self._drawn:
            raise UserError("these draws are no longer held", given="memory was given back", remedy="invert again")
        inverting = self._drawn[of]
        yield {"event": "weights", **shown.inversion(inverting.inversion(Level(None, bandwidth)))}

    def explain(self, job: Job, asked: Question) -> Steps:
        """Hypotheses about one activation."""
        if asked.run is None:
            remedy = "a run: its task has the features that a hypothesis is made of"
            raise UserError("natural text has no hypotheses to test", given="no run", remedy=remedy)
        yield from self._load(asked)
        inverter = self.models.inverter(self.folder(asked.run))
        options: dict[str, Any] = {"resolution": asked.resolution, "bandwidth": asked.bandwidth, "seed": asked.seed}
        found = inverter.explain(
            **source(asked), site=asked.site, position=_position(asked), n=128, progress=job.progress, **options
        )
        assert not isinstance(found, list)
        yield {"event": "explanation", **shown.explanation(found), "done": True, "seconds": job.seconds}

    def _drawn_for(self, job: Job, asked: Question) -> Any:
        """The draws of a question, none of them read yet."""
        from inversescope.inverter import given

        assert asked.run is not None
        yield from self._load(asked)
        inverter = self.models.inverter(self.folder(asked.run))
        values = source(asked)
        sources, _ = given(inverter.run.subject, values.get("text"), _position(asked), values.get("vector"))
        (site,) = inverter.run.subject.sites([asked.site])
        if site not in inverter.sites:
            raise UserError("the run's generator does not serve this site", given=site)
        level = inverter.level(site, asked.resolution, asked.bandwidth)
        activation = sources[0].activations(inverter.run.subject, [site])[site]
        return inverter.begin(sources[0], site, activation, asked.n, level, asked.seed)

    def _natural(self, job: Job, asked: Question) -> Steps:
        """Natural text for an activation: the nearest of the model's own texts as they are written, then draws; the
        first time for a model, minutes later.
        """
        from inversescope.natural_text.first_look import FirstLook
        from inversescope.natural_text.natural_text import default_length
        from inversescope.position import cut

        if asked.vector is not None or asked.resolution is not None:
            raise UserError("natural text is for the activation of a text", allowed="a text, and bits or a bandwidth")
        if asked.tokens is not None or asked.seconds is not None:
            raise UserError("draws of natural text have no budget", given="tokens or seconds", allowed="draws and seed")
        yield from self._load(asked)
        subject = self._subject(asked)
        text, position = source(asked)["text"], _position(asked)
        tokens = cut(subject, text, position)
        length = asked.length or default_length(len(tokens) - len(subject.prefix))
        yield {"event": "status", "words": "the model writes texts (a minute, the first time)"}
        look = FirstLook.at(subject, text, asked.site, length, position)

        def seen(*drawn: Any) -> None:
            job.emit({"event": "draws", **shown.first_look(look, look.add(*drawn)), "done": False})

        opened = self.models.natural(subject.name, asked.site, length, job.progress, seen)
        if not look.texts:  # it was open already
            seen(opened.pool.tokens, opened.pool.log_p, opened.pool.key_values)
        yield {"event": "status", "words": "sampling"}
        options: dict[str, Any] = {"bits": asked.bits, "bandwidth": asked.bandwidth, "n": asked.n, "seed": asked.seed}
        coarser = asked.bits is None and asked.bandwidth is None
        answer = opened.invert(
            text, site=asked.site, position=position, progress=job.progress, coarser=coarser, **options
        )
        yield {"event": "draws", **shown.natural(answer), "wanted": asked.n, "done": True, "seconds": job.seconds}

    def _load(self, asked: Ask) -> Steps:
        """Say so where a model has to be loaded first."""
        models, run = self.models, asked.run
        there = models.has_subject(asked.model or self._model) if run is None else models.has_inverter(self.folder(run))
        if not there:
            yield LOADING

    def _subject(self, asked: Ask) -> Subject:
        if asked.run is not None:
            return self.models.inverter(self.folder(asked.run)).run.subject
        return self.models.subject(asked.model or self._model)

    def _keep(self, of: str, inverting: Inverting) -> None:
        self._drawn[of] = inverting
        while len(self._drawn) > KEPT:
            self._drawn.popitem(last=False)

    def _range(self, asked: Question, inverting: Inverting) -> dict[str, Any]:
        """Bandwidths at which the draws can be weighed anew, and those of the run's resolutions."""
        assert asked.run is not None
        inverter = self.models.inverter(self.folder(asked.run))
        low, high = inverter.generator.bandwidths[inverting.site]
        levels = inverter.run.levels.get(inverting.site, [])
        return {"low": low, "high": high, "levels": [[level.resolution, level.bandwidth] for level in levels]}

    @staticmethod
    def _spent(asked: Question, inverting: Inverting, job: Job) -> str | None:
        """The part of the budget that is used up."""
        if asked.tokens is not None and inverting.tokens_read >= asked.tokens:
            return f"the budget of {asked.tokens:,} tokens is used up"
        if asked.seconds is not None and job.seconds >= asked.seconds:
            return f"the budget of {asked.seconds:g} seconds is used up"
        return None


def _position(asked: Ask) -> int | str:
    return "last" if asked.position is None else asked.position


def _glyphs(subject: Subject, tokens: list[int]) -> list[str]:
    """Each token alone, as people read it."""
    return [wording.visible(subject.show((*subject.prefix, token))) for token in tokens]
