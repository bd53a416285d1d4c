"""The miner on planted records: it finds what decides the samples, calls nothing a discovery where nothing does."""

from __future__ import annotations

import re
import string
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from partial_records import partial
from scipy import stats
from score_fixture import write_levels
from small_subject import World, call

from inversescope import files, records
from inversescope.features.candidates import candidates
from inversescope.features.language import parse
from inversescope.progress import silent
from inversescope.score.mine import CONFIRMED, mine
from inversescope.sites import Site
from inversescope.verdicts import NULL_FEATURE

H = 0.1
NAMES, VERBS, THINGS = ("Anna", "Bert", "Carl", "Dora"), ("saw", "took", "left"), ("ring", "book", "kite", "cup")
PLANTED: dict[str, Callable[[str], Any]] = {
    "word(0)": lambda text: text.split()[0],
    "word(1)": lambda text: text.split()[1],
    "last_word": lambda text: text.split()[-1],
    'has_word("red")': lambda text: "red" in text.split(),
    "count('very')": lambda text: text.split().count("very"),
    "words % 2": lambda text: len(text.split()) % 2,
    "count('very') % 2": lambda text: text.split().count("very") % 2,
    "the last capitalised word": lambda text: [word for word in text.split() if word[0].isupper()][-1],
    "the last vowel": lambda text: [letter for letter in text if letter in "aeiou"][-1],
    "has_digit": lambda text: any(letter in string.digits for letter in text),
}


def sentence(rng: np.random.Generator) -> str:
    """Independent slots: a name, a verb, how often "very", perhaps "red", perhaps a year, a thing, another name."""
    parts = [rng.choice(NAMES), rng.choice(VERBS), "the", *["very"] * rng.integers(0, 4)]
    parts += [*["red"] * rng.integers(0, 2), *["1984"] * rng.integers(0, 2), rng.choice(THINGS)]
    return " ".join([*parts, "of", rng.choice(NAMES), "and", rng.choice(THINGS)])


Drawn = Sequence[Sequence[str | None]]  # the samples of each target


def write_records(
    run: Path,
    pool: Sequence[str],
    targets: Sequence[str],
    sites: Sequence[Drawn],
    *,
    passes: bool = False,
    own: bool = False,
) -> None:
    """Records for the miner: at each of several sites, samples of every target, all alike in weight. `passes`: the null
    feature is above chance at the first site; `own`: samples equal to a target are marked as its source.
    """
    inputs = [
        {"split": split, "row": row, "tokens": [len(split), row], "text": text, "probability": None}
        for split, texts in (("pool", pool), ("target", targets))
        for row, text in enumerate(texts)
    ]
    rows = [
        {"method": "generator", "site": f"resid_post.{site}", "bandwidth": H, "target": target, "text": text}
        | {"weight": None if text is None else 1 / len(drawn), "source": own and text == targets[target]}
        for site, of_targets in enumerate(sites)
        for target, drawn in enumerate(of_targets)
        for text in drawn
    ]
    files.write_table(run / records.collect.INPUTS.path, records.collect.INPUTS.of(inputs))
    files.write_table(run / records.verify.SAMPLES.path, partial(records.verify.SAMPLES, rows))
    write_levels(run, {Site("resid_post", site): [H] for site in range(len(sites))})
    null = {"method": "weighted", "feature": NULL_FEATURE, "site": "resid_post.0", "bandwidth": H}
    marked = [null | {"null_passes": True}] if passes else []
    files.write_table(run / records.score.RESULTS.path, partial(records.score.RESULTS, marked))


def mined(run: Path, seed: int) -> list[dict[str, Any]]:
    mine(run, seed, silent)
    return pq.read_table(run / "mine" / "hypotheses.parquet").to_pylist()


def mined_unchecked(runs: Sequence[Path]) -> list[list[dict[str, Any]]]:
    """The same in a process that does not check every call against its annotations, which takes ten times as long."""
    program = (
        "import sys; from pathlib import Path; from inversescope.score.mine import mine\n"
        "from inversescope.progress import silent\n"
        "for run in sys.argv[1:]: mine(Path(run), 0, silent)"
    )
    subprocess.run([sys.executable, "-c", program, *map(str, runs)], check=True)
    return [pq.read_table(run / "mine" / "hypotheses.parquet").to_pylist() for run in runs]


def plant(run: Path, features: Sequence[Callable[[str], Any]], seed: int, pool_size: int = 100) -> None:
    """A site for each feature. Its samples are inputs of the prior that share the target's value of the feature, but
    for one in eight, which is any input."""
    rng = np.random.default_rng(seed)
    pool, targets = [sentence(rng) for _ in range(pool_size)], [sentence(rng) for _ in range(24)]
    sites = []
    for feature in features:
        alike = [[text for text in pool if feature(text) == feature(target)] for target in targets]
        assert all(alike)
        sites.append([[rng.choice(pool if rng.random() < 0.125 else near) for _ in range(24)] for near in alike])
    write_records(run, pool, targets, sites)


def parts_alike(found: str, meant: Callable[[str], Any]) -> bool:
    """Whether an expression parts the texts of the prior as the feature does."""
    texts = [sentence(np.random.default_rng([7, number])) for number in range(300)]
    pairs = {(parse(found).label(text), meant(text)) for text in texts}
    return len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})


def test_planted_features_are_found_first(tmp_path: Path):
    first, covered = 0, 0
    runs = [tmp_path / str(seed) for seed in range(2)]
    for seed, run in enumerate(runs):
        plant(run, list(PLANTED.values()), seed, pool_size=400)
    for rows in mined_unchecked(runs):
        best = [row for row in rows if row["rank"] == 1]
        assert len(best) == len(PLANTED)
        for row, (name, feature) in zip(best, PLANTED.items(), strict=True):
            assert row["q_value"] < 0.01, name
            first += parts_alike(row["hypothesis"], feature)
            covered += row["corrected_low"] <= 0.875 <= row["corrected_high"]  # what is not one in eight
    assert first >= 18, f"first {first} times in 20"
    assert covered >= 16, f"the planted score is in {covered} of 20 intervals"


def test_null_records_are_no_discoveries(tmp_path: Path):
    """Samples that know nothing of their target: p is uniform over what luck on the discovery half lets through."""
    rng = np.random.default_rng(1)
    pool, targets = [sentence(rng) for _ in range(200)], [sentence(rng) for _ in range(24)]
    write_records(tmp_path, pool, targets, [[list(rng.choice(pool, 12)) for _ in targets] for _ in range(80)])
    [rows] = mined_unchecked([tmp_path])
    firsts = {row["site"]: row["p_value"] for row in reversed(rows) if row["p_value"] is not None}
    assert len(firsts) >= 50
    assert stats.kstest(list(firsts.values()), "uniform").pvalue > 0.01
    tested = [row["q_value"] for row in rows if row["q_value"] is not None]
    assert np.mean(np.array(tested) > 0.05) >= 0.95


def test_what_is_found_where_the_null_feature_passes_is_no_discovery(tmp_path: Path):
    rng = np.random.default_rng(2)
    pool, targets = [sentence(rng) for _ in range(100)], [sentence(rng) for _ in range(24)]
    sites = [[[target] * 8 for target in targets] for _ in range(2)]  # at both sites every sample is the source
    write_records(tmp_path, pool, targets, sites, passes=True)
    rows = mined(tmp_path, seed=0)
    marked = [row for row in rows if row["site"] == "resid_post.0"]
    assert marked and all(row["null_passes"] and not row["significant"] and row["q_value"] < 0.05 for row in marked)
    assert any(row["significant"] for row in rows if row["site"] == "resid_post.1")


def test_what_only_the_source_shares_is_no_discovery(tmp_path: Path):
    """Half of the samples are the source; the others share its last word at the second site, nothing at the first."""
    rng = np.random.default_rng(2)
    pool, targets = [sentence(rng) for _ in range(200)], [sentence(rng) for _ in range(24)]
    alike = [[text for text in pool if text.split()[-1] == target.split()[-1]] for target in targets]
    sites = [
        [[target] * 8 + list(rng.choice(pool, 8)) for target in targets],
        [[target] * 8 + list(rng.choice(near, 8)) for target, near in zip(targets, alike, strict=True)],
    ]
    write_records(tmp_path, pool, targets, sites, own=True)
    rows = mined(tmp_path, seed=0)
    first, second = ([row for row in rows if row["site"] == f"resid_post.{site}"] for site in range(2))
    above = [row for row in first if row["corrected_low"] > 0]
    assert above and sum(row["source_alone"] for row in above) > 0.8 * len(above)
    assert not any(row["significant"] or row["q_value"] < 0.05 for row in first)  # p is among other inputs
    found = [row["hypothesis"] for row in second if row["significant"]]
    assert found and parts_alike(found[0], PLANTED["last_word"])
    assert all(row["collapsed"] == 0 for row in rows)


def test_what_says_the_same_or_nothing_more_is_merged(tmp_path: Path):
    plant(tmp_path, [PLANTED["word(0)"]], seed=1)
    rows = mined(tmp_path, seed=0)
    assert rows[0]["hypothesis"] == "first_word"
    assert "word(0)" in rows[0]["merged"]
    assert {source for source in rows[0]["merged"] if source.startswith("extract(r")} == {
        'extract(r"^(\\w\\w\\w)", word(0))'
    }
    sources = [row["hypothesis"] for row in rows]
    assert len(sources) <= CONFIRMED and len(set(sources)) == len(sources)
    assert not set(sources) & {source for row in rows for source in row["merged"]}
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    low = [row["discovery_low"] for row in rows]
    assert low == sorted(low, reverse=True) and low[-1] > 0


def test_confirmation_does_not_see_the_discovery_targets(tmp_path: Path):
    """The same search with other samples for the targets of confirmation: other numbers for the same hypotheses."""
    plant(tmp_path / "one", [PLANTED["last_word"]], seed=2)
    rows = mined(tmp_path / "one", seed=0)
    halves = files.read_json(tmp_path / "one" / "mine" / "search.json")
    assert sorted(halves["discovery"] + halves["confirmation"]) == list(range(24))
    assert len(halves["discovery"]) == 12 and halves["confirmed"] == len(rows)
    samples: list[dict[str, Any]] = pq.read_table(tmp_path / "one" / "verify" / "samples.parquet").to_pylist()
    inputs = pq.read_table(tmp_path / "one" / "collect" / "inputs.parquet")
    rng, texts = np.random.default_rng(0), inputs["text"].to_pylist()[:100]
    samples = [
        row | ({"text": str(rng.choice(texts))} if row["target"] in halves["confirmation"] else {}) for row in samples
    ]
    files.write_table(tmp_path / "two" / "collect" / "inputs.parquet", inputs)
    files.write_table(tmp_path / "two" / "verify" / "samples.parquet", partial(records.verify.SAMPLES, samples))
    write_levels(tmp_path / "two", {Site("resid_post", 0): [H]})
    files.write_table(tmp_path / "two" / records.score.RESULTS.path, partial(records.score.RESULTS, []))
    other = mined(tmp_path / "two", seed=0)
    same = ("hypothesis", "discovery", "discovery_low", "merged")
    assert [[row[name] for name in same] for row in other] == [[row[name] for name in same] for row in rows]
    assert rows[0]["corrected_low"] > 0.5 > 0.2 > other[0]["corrected"]
    assert other[0]["q_value"] > 0.05


def test_the_numbers_are_the_formulas(tmp_path: Path):
    """One hypothesis by hand: consistency, chance and bits of the confirmation targets."""
    plant(tmp_path, [PLANTED['has_word("red")']], seed=3)
    row = next(row for row in mined(tmp_path, seed=0) if row["hypothesis"] == "has_word('red')")
    inputs = pq.read_table(tmp_path / "collect" / "inputs.parquet").to_pylist()
    samples = pq.read_table(tmp_path / "verify" / "samples.parquet").to_pylist()
    confirmed = files.read_json(tmp_path / "mine" / "search.json")["confirmation"]
    label = PLANTED['has_word("red")']
    pool, targets = ([label(each["text"]) for each in inputs if each["split"] == split] for split in ("pool", "target"))
    share = np.mean(pool)
    own = np.array([targets[target] for target in confirmed])
    drawn = [[label(s["text"]) for s in samples if s["target"] == target] for target in confirmed]
    fcr = np.mean([np.mean(np.array(labels) == o) for labels, o in zip(drawn, own, strict=True)])
    chance = np.mean(np.where(own, share, 1 - share))
    assert row["chance"] == pytest.approx(chance)
    assert row["corrected"] == pytest.approx((fcr - chance) / (1 - chance))
    assert row["targets"] == len(confirmed) == 12

    def entropy(p: float, n: int) -> float:
        p = np.clip(p, 1e-12, 1 - 1e-12)
        seen = min(1, p * n) + min(1, (1 - p) * n)
        return -p * np.log2(p) - (1 - p) * np.log2(1 - p) + max(seen - 1, 0) / (2 * n) / np.log(2)

    bits = entropy(share, 100) - np.mean([entropy(np.mean(labels), 24) for labels in drawn])
    assert row["bits"] == pytest.approx(bits, abs=1e-6)


def test_targets_without_verified_draws_or_without_a_label_are_left_out(tmp_path: Path):
    """Of the targets that confirm, one has no verified draw, one has no second word, and one has half of its draws."""
    plant(tmp_path, [PLANTED["word(1)"]], seed=5)
    table = pq.read_table(tmp_path / "collect" / "inputs.parquet")
    inputs: list[dict[str, Any]] = table.to_pylist()
    samples: list[dict[str, Any]] = pq.read_table(tmp_path / "verify" / "samples.parquet").to_pylist()
    before = next(row for row in mined(tmp_path, seed=0) if row["hypothesis"] == "word(1)")
    unverified, wordless, thinned = files.read_json(tmp_path / "mine" / "search.json")["confirmation"][:3]
    half = [row for row in samples if row["target"] == thinned][::2]
    for row in (*half, *(row for row in samples if row["target"] == unverified)):
        row |= {"text": None, "weight": None}
    for row in inputs:
        if row["split"] == "target" and row["row"] == wordless:
            row["text"] = "Anna"
    files.write_table(tmp_path / "collect" / "inputs.parquet", pa.Table.from_pylist(inputs, table.schema))
    files.write_table(tmp_path / "verify" / "samples.parquet", partial(records.verify.SAMPLES, samples))
    after = next(row for row in mined(tmp_path, seed=0) if row["hypothesis"] == "word(1)")
    assert (before["targets"], after["targets"]) == (12, 10)
    assert after["discovery"] == before["discovery"] and after["corrected"] != before["corrected"]


def test_nothing_verified_is_nothing_found(tmp_path: Path):
    rng = np.random.default_rng(0)
    write_records(tmp_path, [sentence(rng) for _ in range(20)], [sentence(rng) for _ in range(8)], [[[None] * 8] * 8])
    assert mined(tmp_path, seed=0) == []
    assert pq.read_schema(tmp_path / "mine" / "hypotheses.parquet").equals(records.mine.HYPOTHESES.schema())


@settings(max_examples=25)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=5))
def test_every_candidate_is_an_expression(texts: list[str]):
    tried = candidates(texts)
    assert len({candidate.source for candidate in tried}) == len(tried) > 0
    for candidate in tried:
        expression = parse(candidate.source)
        labels = {expression.label(text) for text in texts}
        assert expression.timeouts == 0
        assert expression.kind != "yes or no" or labels <= {"yes", "no", None}


def test_the_same_seed_finds_the_same(tmp_path: Path):
    plant(tmp_path, [PLANTED["word(1)"]], seed=5)
    first, again, other = [
        (mined(tmp_path, seed), files.read_json(tmp_path / "mine" / "search.json")) for seed in (4, 4, 5)
    ]
    assert first == again
    assert first[1]["discovery"] != other[1]["discovery"]


def test_a_run_mines_and_shows_what_it_found(world: World, capsys: pytest.CaptureFixture[str]):
    rows = pq.read_table(world.run / "mine" / "hypotheses.parquet").to_pylist()
    capsys.readouterr()
    assert call("step", world.run, "mine") == 0
    shown = capsys.readouterr()
    counts = files.read_json(world.run / "mine" / "search.json")
    assert re.findall(r"\b\d+\b", shown.out.splitlines()[0])[:4] == [str(counts["tried"]), str(len(rows)), "2", "2"]
    assert str(world.run / "mine") in shown.err  # done already: what to delete to do it again
