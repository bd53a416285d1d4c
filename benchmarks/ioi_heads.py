"""Heads that do indirect object identification: score times causal effect against activation patching.

    python benchmarks/ioi_heads.py runs/demo

The run must be finished; nothing is written into it. *Patching*: each head's output at the last token is replaced by
that of the same prompt with the two names exchanged, on prompts that the run has not seen, by hooks of this file. A
head's importance is the size of the mean change of the logit difference. *Ours*: the head's corrected score from the
pool (no generator was trained for most heads), times the effect of another label beyond that of the same label (KL,
nats), with inputs drawn from the pool by their weights in place of samples; of three features the one with the
largest product. Intervals: bootstrap over prompts and over targets, each by itself.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy import ndarray
from rich.console import Console
from rich.table import Table
from safetensors.numpy import load_file
from scipy.stats import rankdata, spearmanr
from transformers import DynamicCache

from inversescope import files
from inversescope.causal.causal import causal
from inversescope.causal.donors import CausalData
from inversescope.causal.effects import EQUAL, OTHER, SAME
from inversescope.progress import silent
from inversescope.records.levels import Level, pick
from inversescope.run.run import Run
from inversescope.sites import Site
from inversescope.stats.kernel import Kernel
from inversescope.stats.weights import normalise
from inversescope.subject import Subject
from inversescope.tasks import Tokens
from inversescope.verdicts.wording import level

PROMPTS = 100
FEATURES = ("indirect object", "subject", "order")
DONORS = 2
DRAWS = 48  # inputs of the pool drawn for each target by their weights
TOP = 0.05  # share of the heads that patching finds most important
RESAMPLES = 1000
Hook = Callable[..., Any]


def main() -> None:
    run, console = Run.open(sys.argv[1]), Console(width=110)
    heads = [site for site in run.sites["pool"] if site.point == "z"]
    # One head moves the logits by less than half precision tells apart.
    subject, started = Subject.load(run.config.subject.model, dtype="float32"), time.monotonic()
    patched = patching(run, subject, heads)
    console.print(f"patching: {len(heads)} heads, {PROMPTS} prompts, {time.monotonic() - started:.0f} s")
    started, levels = time.monotonic(), {site: pick(run.levels[site], None, None) for site in heads}
    scored, moved = scores(run, heads, levels), effects(run, subject, heads, levels)
    at, seconds = level(levels[heads[0]].columns), time.monotonic() - started
    console.print(f"ours: {at} at {heads[0]}, {scored.shape[2]} targets, {seconds:.0f} s")
    report(console, heads, patched, scored, moved)


def patching(run: Run, subject: Subject, heads: list[Site]) -> ndarray:
    """The change of the logit difference, [heads, prompts]."""
    seen = {tokens for split in ("train", "pool", "target") for tokens in run.store.inputs(split).tokens}
    drawn = [x for x in run.task.draw(20 * PROMPTS, np.random.default_rng(987_654)) if x not in seen]
    prompts = [(x, names) for x in dict.fromkeys(drawn) if (names := run.task.contrast(x))][:PROMPTS]
    assert len(prompts) == PROMPTS
    changes = []
    for tokens, (right, wrong) in prompts:
        exchange = {right: wrong, wrong: right}
        corrupted = tuple(exchange.get(token, token) for token in tokens)
        changes.append(_patched(subject, heads, tokens, corrupted, right, wrong))
    return np.stack(changes, 1)


@torch.inference_mode()
def _patched(subject: Subject, heads: list[Site], tokens: Tokens, corrupted: Tokens, right: int, wrong: int) -> ndarray:
    """One row a head, behind the keys and values of the prompt: that head's output is the corrupted prompt's."""
    model, width = subject.model, subject.shape.head_width
    projections = [layer.self_attn.o_proj for layer in model.model.layers]
    kept: dict[int, torch.Tensor] = {}

    def keep(layer: int) -> Hook:
        return lambda _, args: kept.update({layer: args[0][0, -1].clone()})

    def replace(layer: int) -> Hook:
        def hook(_: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
            changed = args[0].clone()
            for row, site in enumerate(heads):
                if site.layer == layer:
                    columns = slice(site.head * width, (site.head + 1) * width)
                    changed[row, -1, columns] = kept[layer][columns]
            return (changed,)

        return hook

    def passed(rows: list[Tokens], make: Callable[[int], Hook] | None, past: Any = None) -> torch.Tensor:
        handles = [place.register_forward_pre_hook(make(i)) for i, place in enumerate(projections)] if make else []
        logits = model(input_ids=torch.tensor(rows), cache=past, use_cache=past is not None, logits_to_keep=1).logits
        for handle in handles:
            handle.remove()
        return (logits[:, -1, right] - logits[:, -1, wrong]).float()

    passed([corrupted], keep)
    (before,) = passed([tokens], None)
    past = DynamicCache(config=model.config)
    passed([tokens[:-1]], None, past)
    past.batch_repeat_interleave(len(heads))
    return (before - passed([tokens[-1:]] * len(heads), replace, past)).numpy()


def _codes(run: Run, feature: str) -> tuple[ndarray, ndarray]:
    """The labels of the pool and of the targets as numbers."""
    pool, targets = (run.store.inputs(split).labels[feature] for split in ("pool", "target"))
    values = {value: code for code, value in enumerate(dict.fromkeys([*pool, *targets]))}
    return np.array([values[x] for x in pool]), np.array([values[x] for x in targets])


def _weights(run: Run, heads: list[Site], levels: dict[Site, Level]) -> dict[Site, ndarray]:
    """Weights of the pool's inputs for each target, [targets, pool]."""
    distances = load_file(run.folder / "reference" / "distances.safetensors")
    by_target = {site: distances[str(site)].T.astype(float) for site in heads}
    return {site: normalise(Kernel.GAUSSIAN.log(by_target[site], levels[site].bandwidth)) for site in heads}


def scores(run: Run, heads: list[Site], levels: dict[Site, Level]) -> ndarray:
    """Consistency less chance, and 1 less chance: [2, features, targets, heads]; the corrected score is their ratio."""
    found = []
    for feature in FEATURES:
        pool, targets = _codes(run, feature)
        same = pool[None] == targets[:, None]
        chance = same.mean(1)
        consistency = np.stack([(weights * same).sum(1) for weights in _weights(run, heads, levels).values()], 1)
        found.append([consistency - chance[:, None], np.broadcast_to(1 - chance[:, None], consistency.shape)])
    return np.array(found).transpose(1, 0, 2, 3)


def effects(run: Run, subject: Subject, heads: list[Site], levels: dict[Site, Level]) -> ndarray:
    """KL of another label less KL of the same label, or, of minimal pairs, of inputs that agree in every feature;
    [features, targets, heads]; NaN where a target lacks one.
    """
    store, rng = run.store, np.random.default_rng(0)
    pool, distances = store.inputs("pool").tokens, load_file(run.folder / "reference" / "distances.safetensors")
    rows = [
        {"site": str(site), "bandwidth": levels[site].bandwidth, "target": target, "tokens": pool[i], "verified": True,
         "distance": float(distances[str(site)][i, target])}
        for site, weights in _weights(run, heads, levels).items()
        for target in range(len(weights))
        for i in rng.choice(len(pool), DRAWS, p=weights[target] / weights[target].sum())
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files.write_table(folder / "verify" / "samples.parquet", pa.Table.from_pylist(rows))
        (folder / "reference").symlink_to((run.folder / "reference").resolve())
        labels = {feature: lambda x, feature=feature: run.task.labels(x)[feature] for feature in FEATURES}
        data = CausalData(folder, store, subject, labels, run.task.contrast)
        causal(folder / "causal", data, heads, levels, 0, silent, most=DONORS)
        runs = pq.read_table(folder / "causal" / "runs.parquet").to_pylist()
    place = {str(site): i for i, site in enumerate(heads)}
    shape = (len(FEATURES), len(store.inputs("target")), len(heads))
    kl = {kind: np.full(shape, np.nan) for kind in (SAME, OTHER, EQUAL)}
    for row in runs:
        if row["kind"] in kl:
            kl[row["kind"]][FEATURES.index(row["feature"]), row["target"], place[row["site"]]] = row["kl"]
    matched = ~np.isnan(kl[EQUAL]).all((1, 2), keepdims=True)
    return kl[OTHER] - np.where(matched, kl[EQUAL], kl[SAME])


def report(console: Console, heads: list[Site], patched: ndarray, scored: ndarray, moved: ndarray) -> None:
    prompts, targets = np.arange(patched.shape[1]), np.arange(moved.shape[1])
    rng = np.random.default_rng(0)
    drawn = [(rng.choice(prompts, len(prompts)), rng.choice(targets, len(targets))) for _ in range(RESAMPLES)]
    table = Table("ranking", "Spearman", f"ROC AUC, top {TOP:.0%}")
    for name in ("score", "effect", "score x effect"):
        whole = compared(patched, scored, moved, name)
        again = [compared(patched[:, p], scored[:, :, t], moved[:, t], name) for p, t in drawn]
        low, high = np.percentile(again, [2.5, 97.5], axis=0)
        table.add_row(name, *(f"{whole[i]:.2f} \\[{low[i]:.2f}, {high[i]:.2f}]" for i in range(2)))
    halves = [np.abs(patched[:, part].mean(1)) for part in (prompts[::2], prompts[1::2])]
    table.add_row("patching, one half of the prompts against the other", f"{spearmanr(*halves)[0]:.2f}", "")
    console.print(table)
    importance, ours = np.abs(patched.mean(1)), ranking(scored, moved, "score x effect")
    top = Table("head", "change of the logit difference", "score x effect", "its rank")
    ranks = rankdata(-ours, "ordinal")
    for i in np.argsort(-importance)[: round(TOP * len(heads))]:
        top.add_row(str(heads[i]), f"{patched[i].mean():+.2f}", f"{ours[i]:.4f}", f"{ranks[i]:.0f}")
    console.print(top)
    first = ", ".join(str(heads[i]) for i in np.argsort(-ours)[: round(TOP * len(heads))])
    console.print(f"ours, the first of them in order: {first}")


def ranking(scored: ndarray, moved: ndarray, name: str) -> ndarray:
    """A number for each head: of the features the largest."""
    above, below = scored.sum(2)
    factors = {"score": above / below, "effect": np.nanmean(moved, 1)}
    factors["score x effect"] = factors["score"].clip(0) * factors["effect"].clip(0)
    return factors[name].max(0)


def compared(patched: ndarray, scored: ndarray, moved: ndarray, name: str) -> tuple[float, float]:
    """Spearman's rank correlation with patching, and the area under the ROC curve of its top heads."""
    importance, ours = np.abs(patched.mean(1)), ranking(scored, moved, name)
    top = importance >= np.sort(importance)[-round(TOP * len(importance))]
    ranks, n = rankdata(ours), top.sum()
    area = (ranks[top].sum() - n * (n + 1) / 2) / (n * (len(ours) - n))
    return float(spearmanr(importance, ours)[0]), float(area)


if __name__ == "__main__":
    main()
