"""Invert activations with a trained run: `Inverter.load(run).invert(text, site=..., n=..., bandwidth=...)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, overload

from jaxtyping import Float
from torch import Tensor

from inversescope.bounds import SAMPLES
from inversescope.collect.inputs import read_known
from inversescope.errors import UserError
from inversescope.features.feature_config import reader
from inversescope.features.on_task import with_readers
from inversescope.inverter.given import Given, Texts, given
from inversescope.inverter.inversion import Inversion
from inversescope.inverter.inverting import Inverting
from inversescope.inverter.results import read_results
from inversescope.inverter.served import chosen, level_served
from inversescope.inverter.sharing import opened, push, save
from inversescope.position import LAST, Position
from inversescope.progress import Progress, watched
from inversescope.records.levels import Level
from inversescope.run.run import Run
from inversescope.sites import Addresses, Site, names_several
from inversescope.subject import Subject
from inversescope.train.checkpoint import load_generator

if TYPE_CHECKING:
    import pandas

    from inversescope.check import Checked, Claim, LanguageModel
    from inversescope.explain import Explanation

Resolutions = float | Sequence[float | None] | None


class Inverter:
    """A trained run, ready to invert activations of its subject.

    `features` are labels to be given beside the task's own: an expression in the language of features, or a function
    from a text to a label (None is undecided).
    """

    def __init__(self, run: Run, features: Mapping[str, str | Callable[[str], object]] = MappingProxyType({})):
        self.run = run
        readers = {name: reader(name, each) for name, each in features.items()}
        self.task = with_readers(run.task, readers, run.subject)
        self.known = read_known(run.folder)
        self.generator = load_generator(run.folder / "train", run.subject.device)

    def __repr__(self) -> str:
        return f"Inverter({str(self.run.folder)!r}: {self.run.subject.name}, {len(self.sites)} sites)"

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites that the generator is trained for, in order of depth."""
        return tuple(sorted(self.generator.sites, key=lambda site: site.depth))

    @property
    def resolutions(self) -> tuple[float, ...]:
        """The resolutions of the run, the finest first; none in a run at bandwidths."""
        found = {level.resolution for levels in self.run.levels.values() for level in levels}
        return tuple(sorted((resolution for resolution in found if resolution is not None), reverse=True))

    @classmethod
    def load(
        cls,
        folder: Path | str,
        features: Mapping[str, str | Callable[[str], object]] = MappingProxyType({}),
        *,
        allow_code: bool = False,
        device: str | None = None,
        subject: Subject | None = None,
        model: str | None = None,
    ) -> Self:
        """Open a run directory whose step `train` is done, or an inverter that was saved: a folder, or the name
        `owner/name` of one on the hub.

        `device`, such as "cpu" or "cuda:1", replaces the config's. `model` is the model's name or folder here, where
        the config names another place; it must be the same model. `subject` is the model in memory that the run was
        created with, if it was. `allow_code` allows the Python files that the run's config names to be run, in the
        version that they have.

        Raises:
            CodeNotAllowedError: it names files that were not allowed.
            UserError: it is not a run directory, has no generator, is not trained yet, or belongs to another subject or
                version.
        """
        run = opened(folder, device, allow_code=allow_code, subject=subject, model=model)
        return cls(run, features)

    def save(self, folder: Path | str, *, store: bool = False, licence: str | None = None) -> None:
        """Write what `load` needs into a new folder, as data that holds no code, with a model card.

        Args:
            store: with the activations of the stored inputs; without them the subject reads these inputs again when
                the inverter is first used.
            licence: of the inputs, for the model card.

        Raises:
            UserError: the folder is not empty, or the run needs files that are not shared.
        """
        save(self.run, Path(folder), store=store, licence=licence)

    def push_to_hub(
        self, name: str, *, store: bool = False, licence: str | None = None, private: bool | None = None
    ) -> str:
        """Upload the inverter to the hub as `owner/name`, and give its address; else as `save`."""
        return push(self.run, name, store=store, licence=licence, private=private)

    @overload
    def invert(
        self,
        text: str,
        *,
        site: str | Site,
        position: Position = LAST,
        n: int = 32,
        resolution: float | None = None,
        bandwidth: float | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Inversion: ...
    @overload
    def invert(
        self,
        text: Texts | None = None,
        *,
        site: Addresses,
        vector: Any = None,
        position: Position = LAST,
        n: int = 32,
        resolution: Resolutions = None,
        bandwidth: float | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Any: ...
    def invert(
        self,
        text: Texts | None = None,
        *,
        site: Addresses,
        vector: Any = None,
        position: Position = LAST,
        n: int = 32,
        resolution: Resolutions = None,
        bandwidth: float | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Any:
        """Draw `n` inputs for the activation of `text` at a position, or for a vector, and verify each.

        With one text or vector, one site and one resolution, the result is an `Inversion`. Several of one kind give a
        list; of several kinds lists of lists, the texts or vectors outside, then the sites, then the resolutions.
        If a text is too long for the subject, the tokens nearest to the position are kept.

        Args:
            text: a text, or a conversation: `[{"role": "user", "content": "..."}, ...]`; or a list of them.
            vector: in place of a text: the numbers of an activation, rows of several, or a mapping from names to
                vectors. It is taken as it is, in the subject's own units, neither centred nor scaled.
            site: where it is read: an address, a `Site`, a wildcard such as `"resid_post.*"`, or a list of them.
            position: "last", the index of a token, a piece of the text, or a role and its turn such as "user:-1"; see
                `inversescope.position.cut`.
            n: how many.
            resolution: N of the run, or several: one input in N of the prior remains.
            bandwidth: h, a radius in δ, in place of a resolution. With neither, the finest of the run's levels at which
                inputs other than the source answer (`collect.bandwidths.chosen`).
            seed: decides the draws, the same for every text.
            progress: called as inversions are done; default: a bar in a notebook.

        Raises:
            UserError: the generator does not serve the site or the bandwidth, the run has no such resolution, the text
                has no such position, or the vector cannot be an activation of the site.
        """
        if not 1 <= n <= SAMPLES:
            raise UserError("so many samples cannot be drawn", given=n, allowed=f"1 to {SAMPLES:,}")
        sources, many_sources = given(self.run.subject, text, position, vector)
        sites, many_sites = chosen(site, self.sites, self.run.subject.shape), names_several(site)
        listed = resolution if (many_levels := isinstance(resolution, Sequence)) else [resolution]
        levels = {where: [self.level(where, each, bandwidth) for each in listed] for where in sites}
        total, done = len(sources) * len(sites) * len(listed), 0
        inverted: list[list[list[Inversion]]] = [[] for _ in sources]
        with watched(progress, "invert") as report:
            activations = [source.activations(self.run.subject, sites) for source in sources]
            for where, (row, source) in product(sites, enumerate(sources)):  # the stored inputs of a site are read once
                inverted[row].append([])
                for level in levels[where]:
                    inverted[row][-1].append(self.invert_given(source, where, activations[row][where], n, level, seed))
                    report(done := done + 1, total)
        by_site = inverted if many_levels else [[of_site[0] for of_site in row] for row in inverted]
        rows = by_site if many_sites else [row[0] for row in by_site]
        return rows if many_sources else rows[0]

    def invert_given(
        self, source: Given, where: Site, activation: Float[Tensor, "1 d"], n: int, level: Level, seed: int
    ) -> Inversion:
        """The inversion of one text or vector, whose activation at the site is known, at one level."""
        inverting = self.begin(source, where, activation, n, level, seed)
        inverting.read(n)
        return inverting.inversion()

    def begin(
        self, source: Given, where: Site, activation: Float[Tensor, "1 d"], n: int, level: Level, seed: int
    ) -> Inverting:
        """The same with its draws made and not yet read again, for whoever reads them in parts."""
        parts = self.run, self.task, self.known, self.generator
        return Inverting(*parts, source, where, activation, n, level, seed)

    def activation(self, text: Texts, *, site: str | Site, position: Position = LAST) -> Float[Tensor, "*n d"]:
        """The activation of a text, or of each of several as rows: what `vector` takes, to add to or to average.

        Raises:
            UserError: there is no such site, or the text has no such position.
        """
        sources, several = given(self.run.subject, text, position, None)
        (where,) = self.run.subject.sites([str(site)])
        rows = self.run.subject.capture([source.tokens or () for source in sources], [where]).activations[where]
        return rows if several else rows[0]

    def explain(
        self,
        text: Texts | None = None,
        *,
        site: Addresses,
        vector: Any = None,
        position: Position = LAST,
        n: int = 128,
        resolution: float | None = None,
        bandwidth: float | None = None,
        seed: int = 0,
        expected: bool = False,
        progress: Progress | None = None,
    ) -> Explanation | list[Explanation]:
        """Explain the activations of a text, or a vector, at one site or several; a list of them gives a list. See
        `inversescope.explain.explain`.
        """
        from inversescope.explain import explain

        return explain(
            self,
            text,
            sites=site,
            vector=vector,
            position=position,
            n=n,
            resolution=resolution,
            bandwidth=bandwidth,
            seed=seed,
            expected=expected,
            progress=progress,
        )

    def check(
        self,
        text: Any,
        claims: str | Sequence[str | Claim],
        *,
        site: str | Site | None = None,
        position: Position = LAST,
        n: int = 128,
        resolution: float | None = None,
        bandwidth: float | None = None,
        seed: int = 0,
        judge: LanguageModel | None = None,
    ) -> Checked:
        """The verdict on claims about the activation of a text or a vector at a site. See `inversescope.check.check`.

        Args:
            text: a text, a conversation, or the numbers of a vector; None where each claim has its own.
            claims: a claim or several: plain words, expressions, or `Claim`s.
            site, position: where it is read.
        """
        from inversescope.check import check
        from inversescope.check.claims import claims_about

        listed = [claims] if isinstance(claims, str) else claims
        about = claims_about(text, listed, site, position)
        return check(self, about, n=n, resolution=resolution, bandwidth=bandwidth, seed=seed, judge=judge)

    def results(self, table: str = "score/results") -> pandas.DataFrame:
        """A table of the run as a data frame (needs the extra `notebook`): the scores, or another by its path in the
        run directory, such as "causal/used".

        Raises:
            UserError: there is no such table, or its step is not done.
        """
        return read_results(self.run.folder, table)

    def level(self, site: Site, resolution: float | None, bandwidth: float | None) -> Level:
        """The level of a site at a resolution or a bandwidth, or by default (`collect.bandwidths.chosen`).

        Raises:
            UserError: the run has no such resolution, or the generator does not serve the bandwidth.
        """
        return level_served(self.run, self.generator, site, resolution, bandwidth)
