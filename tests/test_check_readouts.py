"""Readout files of other tools in their published layouts: parts that become claims, and parts named as unused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from refusals import refuses

from inversescope.check.readouts import Imported, Where, read_readouts
from inversescope.sites import Site

SITES = tuple(map(Site.parse, ("resid_post.20", "attn_out.5", "mlp_out.3")))


def imported(path: Path, rows: Any, *, lines: bool = True, **more: Any) -> Imported:
    text = "\n".join(json.dumps(row) for row in rows) if lines else json.dumps(rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    found = read_readouts(path, Where(SITES, 1, **more))
    assert found is not None
    return found


def plan(folder: Path) -> Path:
    rows = [
        {"family": "poetry", "id": "one", "render": "plain", "text": "A couplet\nby two", "layers": [20]},
        {"family": "chat", "id": "two", "render": "chat", "messages": [{"role": "user", "content": "Hi"}]},
        {"family": "chat", "id": "three", "render": "chat_prefill", "messages": [], "prefill": "Well"},
    ]
    (folder / "plan.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "plan.jsonl"


def test_workspace_bench(tmp_path: Path):
    rows = [
        {"id": "one", "layer": 20, "pos": 3, "token": "\n", "samples": ["led the way", "", "led the way"]},
        {"id": "one", "layer": 20, "pos": 0, "token": "<s>", "samples": ["a start"]},
        {"id": "one", "layer": 36, "pos": 3, "token": "\n", "samples": ["led the way"]},
        {"id": "two", "layer": 20, "pos": -2, "token": "\n", "tokens": [" led", " said"], "scores": [9.1, 7.7]},
        {"id": "three", "layer": 20, "pos": 1, "token": "\n", "samples": ["x"]},
    ]
    found = imported(tmp_path / "r.jsonl", rows, texts=plan(tmp_path))
    assert [(claim.claim, claim.position) for claim in found.claims] == [
        ("led the way", 2),
        ("it has to do with 'led'", -2),
    ]
    assert found.claims[0].text == "A couplet\nby two" and sum(found.unused.values()) == 6 and len(found.unused) == 6


def test_workspace_bench_needs_the_plan(tmp_path: Path):
    with refuses(remedy="--texts"):
        imported(tmp_path / "r.jsonl", [{"id": "one", "layer": 20, "pos": 3, "samples": ["x"]}])


def oracle(**more: Any) -> dict[str, Any]:
    return {
        "context_prompt": "The game is over.",
        "act_key": "orig",
        "investigator_prompt": "What is the word?",
        "ground_truth": "ship",
        "num_tokens": 3,
        "token_responses": ["ship", None, "boat"],
        "full_sequence_responses": ["ship"] * 10,
        "context_input_ids": [1, 2, 3],
    } | more


def test_activation_oracles(tmp_path: Path):
    whole = {"meta": {"active_layer": 20}, "records": [oracle(), oracle(act_key="diff")]}
    found = imported(tmp_path / "r.json", whole, lines=False)
    assert [claim.position for claim in found.claims] == [1]  # the first token is the prefix
    assert "boat" in found.claims[0].claim and "What is the word?" in found.claims[0].claim
    assert found.claims[0].text == [{"role": "user", "content": "The game is over."}]
    assert found.unused["an answer about many tokens at once"] == 20
    assert found.unused["an answer about a difference of activations"] == 3


def test_later_results_of_activation_oracles(tmp_path: Path):
    messages = [{"role": "user", "content": "Hi"}]
    later = oracle(context_prompt=messages, verbalizer_prompt="Which?", act_key="lora", segment_responses=["x"])
    del later["investigator_prompt"]
    found = imported(tmp_path / "r.json", {"config": {"active_layer": 20}, "results": [later]}, lines=False)
    assert found.claims[0].text == messages and "Which?" in found.claims[0].claim


def test_nla(tmp_path: Path):
    results = [
        {"position": 4, "token": "Canada", "description": "a country in the north", "cosine_similarity": 0.98},
        {"position": 0, "token": "<bos>", "description": "a start"},
    ]
    answer = {"results": results, "text": "What is the capital of Canada?", "nlaSourceId": "kitft-l20", "modelId": "m"}
    found = imported(tmp_path / "r.json", answer, lines=False)
    assert [(claim.claim, claim.position, claim.site) for claim in found.claims] == [
        ("a country in the north", 3, "resid_post.20")
    ]
    with refuses(given=True):
        imported(tmp_path / "r.json", {"results": results, "nlaSourceId": "kitft-l20"}, lines=False)


@pytest.mark.parametrize("name", ["e.jsonl", "e.jsonl.gz"])
def test_neuronpedia(name: str, tmp_path: Path):
    rows = [
        {"modelId": "gemma-2-2b", "layer": "20-gemmascope-res-16k", "index": "7", "description": "names of ships"},
        {"modelId": "gemma-2-2b", "layer": "5-att-kk", "index": "8", "description": "verbs"},
        {"modelId": "gemma-2-2b", "layer": "3-gemmascope-mlp-16k", "index": "9", "description": "x" * 1001},
        {"modelId": "gemma-2-2b", "layer": "20-transcoder-16k", "index": "9", "description": "nouns"},
    ]
    found = imported(tmp_path / name, rows, vectors=Path("decoder"))
    assert [(claim.vector, claim.site) for claim in found.claims] == [
        ("decoder:7", "resid_post.20"),
        ("decoder:8", "attn_out.5"),
    ]
    assert sum(found.unused.values()) == 2


def test_a_feature_of_neuronpedia_has_several_explanations(tmp_path: Path):
    feature = {"layer": "20-res-jb", "index": 3, "explanations": [{"description": "ships"}, {"description": "boats"}]}
    assert len(imported(tmp_path / "f.json", feature, lines=False, vectors=Path("d")).claims) == 2
    with refuses(remedy="--vectors"):
        imported(tmp_path / "f.json", feature, lines=False)


def test_our_own_layout_is_no_readout(tmp_path: Path):
    (tmp_path / "c.jsonl").write_text('{"text": "a", "site": "resid_post.20", "claim": "x"}\nno json')
    assert read_readouts(tmp_path / "c.jsonl", Where(SITES)) is None
    with refuses(given=True):
        read_readouts(tmp_path / "none.jsonl.gz", Where(SITES))
