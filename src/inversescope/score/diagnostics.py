"""Diagnostics of the samples: acceptance, distinct inputs, novelty, effective sample size, distances.

Dimensions: `pool` inputs, `targets`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float
from numpy import ndarray

from inversescope.score.pool import SitePool
from inversescope.sites import Site
from inversescope.stats.weights import effective_sample_size, weighted_median
from inversescope.verdicts import ACCEPTED, FAR, MISSED, TOO_FEW, TRUSTED, acceptance_counts, reasons

BINS = 48  # of the histograms, from 0 to the largest distance
WORST = 3  # targets of a site


def diagnostics(
    site: Site,
    table: pa.Table,
    edits: pa.Table,
    pool: SitePool,
    by_target: Sequence[Mapping[str, Any]],
    noise_floor: float,
) -> Iterator[dict[str, Any]]:
    """One row for each bandwidth at which the site was sampled.

    Args:
        site: the site.
        table: its samples.
        edits: those of the targets' source inputs.
        pool: the pool beside the targets.
        by_target: rows of `of_targets`.
        noise_floor: δ between two readings of one input.
    """
    edited = edits.filter(edits["verified"])
    for h in sorted(table["bandwidth"].unique().to_pylist()):
        draws = table.filter(pc.field("bandwidth") == h)
        verified = draws.filter(draws["verified"])
        accepted = draws.filter(draws["accepted"])
        targets = [row for row in by_target if row["bandwidth"] == h]
        reference = pool.posterior[h]
        pool_size = float(np.median(effective_sample_size(reference)))
        trusted = pool.exact or pool_size >= TRUSTED
        near = float((reference * (pool.reference <= ACCEPTED)).sum(1).mean())
        copied = verified["in_train"].to_numpy()
        reasons_found = [row["left_out"] for row in targets]
        yield {
            "site": str(site),
            "point": site.series,
            "layer": site.layer,
            "head": site.head,
            "bandwidth": h,
            "draws": len(draws),
            "unverified": len(draws) - len(verified),
            "acceptance": len(accepted) / len(draws),
            **_others(draws, accepted, targets),
            "distinct": _distinct(verified),
            "distinct_accepted": _distinct(accepted.filter(~pc.field("source"))),
            "novel": None if not len(copied) else float((~copied).mean()),
            "ess": float(np.median([row["ess"] for row in targets])),
            "collapsed": sum(reason is not None for reason in reasons_found),
            **{f"collapsed_{name}": reasons_found.count(reason) for name, reason in _KINDS.items()},
            **_tails(targets),
            "reference_ess": pool_size,
            "median_distance": None if not len(verified) else float(np.median(verified["distance"].to_numpy())),
            "prior_median_distance": weighted_median(pool.distances, _of_prior(pool)),
            "reference_acceptance": near,
            "reference_median_distance": weighted_median(pool.reference, reference) if trusted else None,
            "acceptance_counts": acceptance_counts(h, near, trusted, noise_floor),
            "noise_floor": noise_floor,
            "below_noise": h < noise_floor,
            "edits_acceptance": float(edits["accepted"].to_numpy().mean()),
            "edits_median_distance": None if not len(edited) else float(np.median(edited["distance"].to_numpy())),
        }


def of_targets(site: Site, table: pa.Table) -> Iterator[dict[str, Any]]:
    """One row for each bandwidth and target at which the site was sampled."""
    for h in sorted(table["bandwidth"].unique().to_pylist()):
        draws = table.filter(pc.field("bandwidth") == h)
        targets = len(draws["target"].unique())
        n = len(draws) // targets  # samples of a target stand together, as many of each
        for target in range(targets):
            yield {"site": str(site), "bandwidth": h, "target": target, **_of_target(draws.slice(target * n, n))}


def _of_target(draws: pa.Table) -> dict[str, Any]:
    """The draws of one target: the source's share of them, the others' acceptance, and what became of the weights."""
    verified = draws.filter(draws["verified"])
    weights = np.nan_to_num(draws["weight"].to_numpy(zero_copy_only=False).astype(float))
    is_source = draws["source"].to_numpy(zero_copy_only=False).astype(bool)
    accepted = draws["accepted"].to_numpy(zero_copy_only=False).astype(bool)
    first = draws.slice(0, 1).to_pylist()[0]
    return {
        "draws": len(draws),
        "distinct": len({tuple(row) for row in verified["tokens"].to_pylist()}),
        "source_draws": float(is_source.mean()),
        "source_weight": float(weights[is_source].sum()) if weights.any() else None,
        "others_acceptance": None if is_source.all() else float(accepted[~is_source].mean()),
        "nearest": None if not len(verified) else float(np.min(verified["distance"].to_numpy())),
        "ess": float(effective_sample_size(weights)),
        **{name: first[name] for name in ("pareto_k", "unreliable", "log_normaliser", "log_floor", "left_out")},
    }


_KINDS = {"missed": MISSED, "few": TOO_FEW, "far": FAR}  # columns of the reasons


def _others(draws: pa.Table, accepted: pa.Table, targets: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """The source's share of draws and of weight, and the acceptance of other inputs."""
    sources = sum(draws["source"].to_pylist())
    others = accepted.filter(~pc.field("source"))
    weights = [row["source_weight"] for row in targets if row["left_out"] is None]
    return {
        "source_draws": sources / len(draws),
        "source_weight": float(np.mean(weights)) if weights else None,
        "others_acceptance": len(others) / (len(draws) - sources) if len(draws) > sources else None,
    }


def histogram(site: Site, table: pa.Table, pool: SitePool) -> Iterator[dict[str, Any]]:
    """Shares of distances in equal bins: the prior's (the pool to the targets), and the samples' at each bandwidth."""
    measured = table.filter(table["distance"].is_valid())
    groups: list[tuple[str, float | None, ndarray, ndarray]] = [("prior", None, pool.distances, _of_prior(pool))]
    for h in sorted(measured["bandwidth"].unique().to_pylist()):
        values = measured.filter(pc.field("bandwidth") == h)["distance"].to_numpy()
        groups.append(("generator", h, values, np.ones(len(values))))
    edges = np.linspace(0, max(float(values.max()) for _, _, values, _ in groups), BINS + 1)
    for method, h, values, weights in groups:
        sums, _ = np.histogram(values, edges, weights=weights)
        for low, high, share in zip(
            edges[:-1].tolist(), edges[1:].tolist(), (sums / weights.sum()).tolist(), strict=True
        ):
            yield {
                "site": str(site),
                "method": method,
                "bandwidth": h,
                "low": low,
                "high": high,
                "share": share,
            }


def _of_prior(pool: SitePool) -> Float[ndarray, "pool targets"]:
    """Weights of the pool's distances as the prior has them."""
    return np.broadcast_to(pool.probability[:, None], pool.distances.shape)


def _tails(targets: Sequence[Mapping[str, Any]]) -> dict[str, float | int | None]:
    """Median k̂ over the targets, and how many have one that is too large; None where no target has a tail to fit."""
    defined = [row["pareto_k"] for row in targets if row["pareto_k"] is not None]
    if not defined:
        return {"pareto_k": None, "unreliable": None}
    return {"pareto_k": float(np.median(defined)), "unreliable": sum(row["unreliable"] for row in targets)}


def _distinct(table: pa.Table) -> int:
    """Different pairs of target and input."""
    return len(set(zip(table["target"].to_pylist(), map(tuple, table["tokens"].to_pylist()), strict=True)))


def worst_targets(
    site: Site, table: pa.Table, pool: SitePool, failing: Mapping[float, str]
) -> Iterator[dict[str, Any]]:
    """One row for each of the targets with the fewest accepted draws at the smallest bandwidth, the worst first;
    `failing` is the calibration's reason not to trust the generator, at each bandwidth that has one.
    """
    h = min(table["bandwidth"].unique().to_pylist())
    at_bandwidth = table.filter(pc.field("bandwidth") == h)
    pool_nearest = np.sort(pool.distances, axis=0)[int(pool.exact)].tolist()
    rows = []
    for target, other in enumerate(pool_nearest):
        draws = at_bandwidth.filter(pc.field("target") == target)
        address = {"site": str(site), "bandwidth": h, "target": target, "pool_nearest": other}
        rows.append(address | _draws(draws, pool.exact))
    rows.sort(key=lambda row: (row["acceptance"], -np.inf if row["nearest"] is None else -row["nearest"]))
    for row in rows[:WORST]:
        flags = {name: row.pop(name) for name in ("unreliable", "left_out")}
        yield row | {"reasons": reasons(row | flags, failing.get(h))}


def _draws(draws: pa.Table, whole: bool) -> dict[str, Any]:
    """Acceptance, nearest draw, copies and weights of one target's draws."""
    verified = draws.filter(draws["verified"]).sort_by("distance")
    weights = np.nan_to_num(draws["weight"].to_numpy(zero_copy_only=False))
    first = verified.slice(0, 1).to_pylist()
    copied = float(verified["in_train"].to_numpy().mean()) if first and not whole else None
    return {
        "draws": len(draws),
        "unverified": len(draws) - len(verified),
        "acceptance": float(draws["accepted"].to_numpy().mean()),
        "nearest": first[0]["distance"] if first else None,
        "nearest_text": first[0]["text"] if first else None,
        "copied": copied,
        "ess": float(effective_sample_size(weights)),
        **{name: draws[name][0].as_py() for name in ("pareto_k", "unreliable", "left_out")},
    }
