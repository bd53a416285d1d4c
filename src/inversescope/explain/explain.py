"""From one activation to a ranked list of hypotheses: features that its verified samples share and the prior does not.

Half of the draws propose, the other half confirms: a hypothesis is judged on inputs that had no part in its choice. The
statistics are those of `score/one_activation.py`: the draws are the independent units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import nan
from typing import Any, NamedTuple

import numpy as np

from inversescope import files, records
from inversescope.bounds import SAMPLES
from inversescope.errors import UserError
from inversescope.explain import groups
from inversescope.explain.ending import Endings
from inversescope.explain.explanation import Explanation, Finding, SiteExplained
from inversescope.explain.facts import Fact, facts
from inversescope.explain.halves import apart
from inversescope.explain.null_score import NullScore, features_level
from inversescope.explain.prior import Hypothesis, Prior
from inversescope.explain.replaced import Replaced
from inversescope.inverter import Given, Inversion, Inverter, Texts, given
from inversescope.inverter.served import chosen
from inversescope.position import LAST, Position
from inversescope.progress import Progress, watched
from inversescope.records.levels import Level
from inversescope.run.run import Run
from inversescope.score.feature import PriorLabels
from inversescope.score.one_activation import ActivationScore, score_activation
from inversescope.sites import Addresses, Site
from inversescope.stats import intervals, resampling
from inversescope.stats.intervals import UNDEFINED, Estimate
from inversescope.stats.labels import encode
from inversescope.verdicts import above_chance, decisive, disagreement, encoded_and_used, source_alone
from inversescope.verdicts.checked import ending_says
from inversescope.verdicts.used import BOTH, CANNOT_TELL

SUPPORT = 3  # samples shown for a hypothesis
KEPT = 12  # hypotheses that a site's proposing draws hand to the confirming ones


def explain(
    inverter: Inverter,
    text: Texts | None = None,
    *,
    sites: Addresses,
    vector: Any = None,
    position: Position = LAST,
    n: int = 128,
    resolution: float | None = None,
    bandwidth: float | None = None,
    seed: int = 0,
    expected: bool = False,
    progress: Progress | None = None,
) -> Any:
    """Explain the activations of `text` at a position and at these sites, or a vector: an `Explanation`, or a list of
    one for each where several are given.

    A vector has no source input. A hypothesis about it is that the samples share the label that has most weight among
    the proposing ones, and it has no causal part: there is no text in which the activation could be replaced.

    Args:
        inverter: a trained run.
        text: a text or a conversation, or a list of them, as for `Inverter.invert`.
        vector: in place of a text, as for `Inverter.invert`.
        sites: a site or several, wildcards allowed; of what each names, those that the generator serves.
        position: where it is read.
        n: draws at each site; half of them propose, half confirm.
        resolution, bandwidth: as for `Inverter.invert`.
        seed: decides the draws.
        expected: hypotheses about what the subject expects next (its likeliest token, the entropy) too; it reads every
            input of the reference once more for that.
        progress: called as sites are done; default: a bar in a notebook.

    Raises:
        UserError: the generator serves none of the sites, or the text cannot be read.
    """
    if not 2 <= n <= SAMPLES:
        raise UserError("half of the draws propose and half confirm", given=f"n = {n}", allowed=f"2 to {SAMPLES:,}")
    sources, many = given(inverter.run.subject, text, position, vector)
    named = chosen(sites, inverter.sites, inverter.run.subject.shape)
    in_order, prior = sorted(named, key=lambda site: site.depth), Prior(inverter.run, expected)
    levels = {site: inverter.level(site, resolution, bandwidth) for site in in_order}
    explained: list[Explanation] = []
    with watched(progress, "explain") as report:
        for number, source in enumerate(sources):

            def of_all(done: int, total: int, note: str = "", /, before: int = number) -> None:
                report(before * total + done, len(sources) * total, note)

            explained.append(_explain(inverter, prior, source, levels, n, seed, of_all))
    return explained if many else explained[0]


class _Drawn(NamedTuple):
    """Draws at one site: half of them propose hypotheses, the other half confirms.

    `judged`: the confirming ones with weights for the inputs alone that did not propose.
    """

    propose: Inversion
    confirm: Inversion
    judged: Inversion
    null: NullScore
    grouped: groups.Grouped

    @property
    def outside(self) -> bool:
        """True for an activation outside of the prior, about which nothing is found."""
        return self.propose.outside.outside


def _explain(
    inverter: Inverter,
    prior: Prior,
    source: Given,
    levels: Mapping[Site, Level],
    n: int,
    seed: int,
    progress: Progress,
) -> Explanation:
    """The explanation of one text or vector at a level of each of the sites."""
    activations = source.activations(inverter.run.subject, list(levels))
    of_features = features_level(prior.labels, prior.probability)
    proposed: dict[str, Fact] = {}
    at_sites: dict[Site, _Drawn] = {}
    for done, (site, level) in enumerate(levels.items(), start=1):
        propose, confirm = (
            inverter.invert_given(source, site, activations[site], n // 2, level, 2 * seed + half) for half in range(2)
        )
        outside = propose.outside.outside
        proposes, judged = apart(propose, confirm)
        if not outside:
            proposed |= {fact.hypothesis.name: fact for fact in _proposed(prior, proposes)}
        prior.learn(confirm)
        grouped = groups.NONE if outside else groups.groups(prior, propose, confirm, seed)
        null = NullScore(judged, of_features, len(prior.tokens), proposes)
        at_sites[site] = _Drawn(proposes, confirm, judged, null, grouped)
        progress(done, 2 * len(levels))
    proposing = [drawn.propose for drawn in at_sites.values() if not drawn.outside]
    distinct = facts(list(proposed.values()), proposing, prior.probability)
    endings = Endings(prior.run, prior.tokens, prior.probability)
    findings: list[list[Finding]] = []
    for done, (site, drawn) in enumerate(at_sites.items(), start=len(levels) + 1):
        findings.append([] if drawn.outside else _findings(inverter.run, site, drawn, distinct, prior, endings, seed))
        progress(done, 2 * len(levels))
    verdicts, judged = _verdicts(inverter.run), _with_q_values(findings)
    explained = [
        SiteExplained(
            str(site),
            None if drawn.outside else verdicts.get((str(site), drawn.confirm.bandwidth)),
            drawn.confirm,
            drawn.null.score.corrected,
            drawn.null.passes(),
            tuple(sorted(of_site, key=rank)),
            drawn.grouped,
        )
        for (site, drawn), of_site in zip(at_sites.items(), judged, strict=True)
    ]
    first = explained[0].inversion
    return Explanation(first.text, tuple(explained), {**first.made_by, "seed": seed, "samples": n})


def _findings(
    run: Run, site: Site, drawn: _Drawn, distinct: Sequence[Fact], prior: Prior, endings: Endings, seed: int
) -> list[Finding]:
    """The finding of every fact at one site, beside the control of the same ending and the causal test."""
    confirm, found = drawn.confirm, []
    effects, ending = Replaced(run, site, confirm, seed), endings.of(confirm.tokens, site, confirm.bandwidth)
    for fact in distinct:
        effect, labels = effects.of(fact.hypothesis), prior.labels_of(fact.hypothesis.name)
        by_ending = UNDEFINED if ending is None else ending.score(fact.hypothesis, labels)
        found.append(_finding(fact, confirm, drawn.null, *effect, effects.reason, by_ending, drawn.judged))
    return found


def _verdicts(run: Run) -> dict[tuple[str, float], str]:
    """The verdict of the calibration on clean targets, by site and bandwidth; empty where there is none."""
    if not run.finished("calibrate"):
        return {}
    rows = files.read_table(run.folder / records.calibrate.CALIBRATION.path).to_pylist()
    return {(row["site"], row["bandwidth"]): row["verdict"] for row in rows if row["query"] == "clean"}


def _proposed(prior: Prior, propose: Inversion) -> list[Fact]:
    """The facts with the highest lower ends on the proposing draws."""
    sure = [(_score(candidate, propose).corrected.low, candidate) for candidate in prior.hypotheses(propose)]
    above = sorted((scored for scored in sure if scored[0] > 0), key=lambda scored: -scored[0])
    return facts([Fact(candidate) for _, candidate in above], [propose], prior.probability, KEPT)


def _finding(
    fact: Fact,
    confirm: Inversion,
    null: NullScore,
    sufficiency: Estimate,
    necessity: Estimate,
    reason: str | None = None,
    ending: Estimate = UNDEFINED,
    judged: Inversion | None = None,
) -> Finding:
    """The finding of a fact; `reason`: why no activation that is put in place of the source's has an effect; `ending`:
    the corrected score among other inputs with the source's last tokens; `judged`: the confirming draws as they are
    weighted to judge, if otherwise than they are shown.
    """
    hypothesis, judged = fact.hypothesis, judged or confirm
    score, among = _score(hypothesis, judged), _score(hypothesis, judged, others=True)
    labels = _labels(hypothesis, confirm)
    passes, others = null.passes(hypothesis.chance), among.corrected
    scores = intervals.fields("corrected", score.corrected) | intervals.fields("others", others)
    alone, decides = source_alone(scores), among if decisive(scores) == "others" else score
    use, reason = _use(scores | {"null_passes": passes, "source_alone": alone}, necessity, reason)
    pairs = list(zip(confirm.samples, labels, strict=True))
    support = {sample.tokens: sample for sample, label in reversed(pairs) if label == hypothesis.value}
    against = [sample for sample, label in pairs if label not in (None, hypothesis.value)]
    beyond = intervals.difference(others, ending)
    notes = disagreement(score.corrected.low, score.bits, score.most_bits), ending_says(beyond)
    return Finding(
        hypothesis=hypothesis.name,
        synonyms=fact.synonyms,
        words=hypothesis.words,
        value=hypothesis.value,
        chance=hypothesis.chance,
        share=score.share,
        corrected=score.corrected,
        others=others,
        ending=ending,
        above_ending=beyond,
        bits=score.bits,
        p_value=decides.p_value,
        q_value=nan,
        null_passes=passes,
        source_alone=alone,
        above_chance=False,
        note="; ".join(note for note in notes if note) or None,
        sufficiency=sufficiency,
        necessity=necessity,
        use=use,
        reason=reason,
        supporting=tuple(sorted(support.values(), key=lambda sample: sample.distance or 0.0)[:SUPPORT]),
        against=max(against, key=lambda sample: sample.weight or 0.0, default=None),
    )


def _use(score: dict[str, float | bool | None], necessity: Estimate, reason: str | None) -> tuple[str, str]:
    """The verdict on this activation: encoded and used, encoded and unused, neither, or cannot tell; and its reason."""
    return encoded_and_used(score, {"reason": reason} | intervals.fields("necessity", necessity))


def _labels(hypothesis: Hypothesis, inversion: Inversion) -> list[str | None]:
    return [None if sample.tokens is None else hypothesis.label(sample.tokens) for sample in inversion.samples]


def _score(hypothesis: Hypothesis, inversion: Inversion, *, others: bool = False) -> ActivationScore:
    """The score of a hypothesis on the draws of an inversion; `others`: on those other than the source itself."""
    weights = inversion.other_weights if others else inversion.weights
    labels = _labels(hypothesis, inversion)
    values = list(
        dict.fromkeys([*hypothesis.shares, hypothesis.value, *(label for label in labels if label is not None)])
    )
    shares = np.array([hypothesis.shares.get(value, 0.0) for value in values])
    prior = PriorLabels(shares, float(hypothesis.decided))
    kept = inversion.left_out is None
    return score_activation(encode(labels, values), weights, values.index(hypothesis.value), prior, kept)


def _with_q_values(findings: Sequence[Sequence[Finding]]) -> list[list[Finding]]:
    """The findings of each site, with q-values over all of them, and the verdict that follows."""
    p_values = np.array([finding.p_value for of_site in findings for finding in of_site])
    q_values = iter(resampling.q_values(p_values).tolist())
    return [[_judged(finding, next(q_values)) for finding in of_site] for of_site in findings]


def _judged(finding: Finding, q_value: float) -> Finding:
    marked = finding.null_passes or finding.source_alone
    sure = above_chance(finding.corrected.low, q_value) and not marked
    return replace(finding, q_value=q_value, above_chance=sure)


def rank(finding: Finding) -> tuple[bool, int, float, float, int]:
    """Sort key: what the subject uses, then what it may use; then the lower end of the corrected share, the bits, and
    the shorter hypothesis.
    """
    low, undefined = finding.corrected.low, bool(np.isnan(finding.corrected.low))
    bits = float(np.nan_to_num(finding.bits))
    sure: tuple[float, float] = (0.0, 0.0) if undefined else (-low, -bits)
    use = 0 if finding.use == BOTH else 1 if finding.use == CANNOT_TELL else 2
    return undefined, use, *sure, len(finding.hypothesis)
