"""Capture against oracles: one input at a time, the model's own hidden states and logits, and its own arithmetic."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from refusals import refuses
from subject_fixture import LAYERS, LONGEST, VARIANTS, VOCABULARY, tiny_model

from inversescope.sites import Site, every
from inversescope.subject import Subject
from inversescope.subject.architectures import ARCHITECTURES
from inversescope.subject.batches import batches

EVERYTHING = ("resid_pre.*", "z.*.*", "attn_out.*", "resid_mid.*", "mlp_out.*", "resid_post.*")
SERIAL = ("gpt2", "llama")


def everywhere(subject: Subject) -> tuple[Site, ...]:
    """Every site of every point that the subject has."""
    return subject.sites(map(every, subject.points))


def unrelated(n: int = 20, seed: int = 0) -> list[tuple[int, ...]]:
    """Random inputs of 1 to 12 tokens that share next to nothing."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 13, (n,), generator=generator).tolist()
    return [tuple(torch.randint(0, VOCABULARY, (length,), generator=generator).tolist()) for length in lengths]


def related() -> list[tuple[int, ...]]:
    """Inputs that share prefixes of 4 and 8 tokens, with duplicates and with prefixes among them; not sorted."""
    stem = (1, 7, 30, 4, 4, 19, 2, 11)
    long = [(*stem, a, b) for a in (3, 5, 8) for b in (9, 6)]
    short = [(*stem[:4], a, 12, a) for a in (40, 20, 10)]
    return [*long, stem, *short, long[2], stem[:3], *short[::-1], (6,)]


@pytest.fixture(params=(*ARCHITECTURES, *VARIANTS))
def subject(request: pytest.FixtureRequest) -> Subject:
    return Subject.from_model(tiny_model(request.param))


def assert_close(left: torch.Tensor, right: torch.Tensor) -> None:
    torch.testing.assert_close(left, right, rtol=1e-4, atol=3e-5)


@pytest.mark.parametrize("inputs", [unrelated(), related()], ids=["padded", "packed"])
@pytest.mark.parametrize("batch_tokens", [40, 1024])
def test_batched_equals_one_by_one(subject: Subject, inputs: list[tuple[int, ...]], batch_tokens: int):
    first = next(batches(inputs, batch_tokens, share=True))
    assert (first.positions is not None) == (inputs == related())
    assert len(first.inputs) > 1
    subject.batch_tokens = batch_tokens
    sites = everywhere(subject)
    together = subject.capture(inputs, sites, logits=True)
    for i in range(0, len(inputs), 5):
        alone = subject.capture([inputs[i]], sites, logits=True)
        for site in sites:
            assert_close(together.activations[site][i], alone.activations[site][0])
        assert_close(together.logits[i], alone.logits[0])


def test_a_thread_may_use_the_model_between_two_batches_of_another():
    subject = Subject.from_model(tiny_model("llama"))
    shallow, deep = Site("resid_post", 0), Site("resid_post", LAYERS - 1)
    subject.batch_tokens = 40
    alone = [subject.capture(unrelated(seed=seed), [site]) for seed, site in enumerate((shallow, deep))]
    between: list[Any] = []

    def other(done: int, total: int, note: str = "") -> None:
        with ThreadPoolExecutor(1) as pool:
            between.append(pool.submit(subject.capture, unrelated(seed=1), [deep]).result())

    found = subject.capture(unrelated(), [shallow], progress=other)
    assert len(between) > 2
    assert torch.equal(found.activations[shallow], alone[0].activations[shallow])
    assert all(torch.equal(each.activations[deep], alone[1].activations[deep]) for each in between)


@torch.no_grad()
def test_residual_sites_are_the_models_own_hidden_states(subject: Subject):
    inputs = unrelated()
    captured = subject.capture(inputs, subject.sites(["resid_pre.*", "resid_post.*"]), logits=True)
    for i, tokens in enumerate(inputs):
        output = subject.model(torch.tensor([tokens]), output_hidden_states=True)
        for layer in range(LAYERS):
            assert_close(captured.activations[Site("resid_pre", layer)][i], output.hidden_states[layer][0, -1])
        for layer in range(LAYERS - 1):
            assert_close(captured.activations[Site("resid_post", layer)][i], output.hidden_states[layer + 1][0, -1])
        assert_close(captured.logits[i], output.logits[0, -1])


def test_each_head_is_its_own_slice(subject: Subject):
    shape, inputs = subject.shape, unrelated()
    both = subject.capture(inputs, subject.sites(["z.1.3", "z.1.0"])).activations
    every = subject.capture(inputs, subject.sites(["z.1.*"])).activations
    assert all(torch.equal(both[site], every[site]) for site in both)
    assert not torch.allclose(both[Site("z", 1, 0)], both[Site("z", 1, 3)])
    assert both[Site("z", 1, 3)].shape == (len(inputs), shape.head_width)


def count_calls(module: torch.nn.Module) -> list[Any]:
    calls: list[Any] = []
    module.register_forward_pre_hook(lambda _, args: calls.append(args))
    return calls


@pytest.mark.parametrize("kind", SERIAL)
def test_nothing_deeper_than_the_deepest_site_is_computed(kind: str):
    subject = Subject.from_model(tiny_model(kind))
    gpt2 = subject.model.config.model_type == "gpt2"
    blocks = subject.model.base_model.get_submodule("h" if gpt2 else "layers")
    calls = [count_calls(block) for block in blocks]
    mlp_calls = [count_calls(block.mlp) for block in blocks]
    projections = [count_calls(block.attn.c_proj if gpt2 else block.self_attn.o_proj) for block in blocks]
    head = count_calls(subject.model.get_output_embeddings())
    inputs = unrelated(3)

    def calls_for(*addresses: str) -> list[list[int]]:
        for seen in (*calls, *mlp_calls, *projections, head):
            seen.clear()
        subject.capture(inputs, subject.sites(addresses))
        return [[len(seen) for seen in group] for group in (calls, projections, mlp_calls, [head])]

    assert calls_for("resid_post.1", "resid_pre.0") == [[1, 1, 0], [1, 1, 0], [1, 1, 0], [0]]
    assert calls_for("resid_mid.1") == [[1, 1, 0], [1, 1, 0], [1, 0, 0], [0]]
    assert calls_for("attn_out.1", "mlp_out.0") == [[1, 1, 0], [1, 1, 0], [1, 0, 0], [0]]
    assert calls_for("z.0.0") == [[1, 0, 0], [1, 0, 0], [0, 0, 0], [0]]
    assert calls_for("resid_pre.0") == [[1, 0, 0], [0, 0, 0], [0, 0, 0], [0]]


def test_an_early_exit_changes_nothing_and_logits_are_computed_for_last_tokens_only(subject: Subject):
    inputs, sites = unrelated(), subject.sites(["attn_out.1"])
    head: list[torch.Tensor] = []
    subject.model.get_output_embeddings().register_forward_hook(lambda _, __, output: head.append(output))
    early, full = subject.capture(inputs, sites), subject.capture(inputs, sites, logits=True)
    assert torch.equal(early.activations[sites[0]], full.activations[sites[0]])
    assert early.logits is None
    assert full.logits.shape == (len(inputs), VOCABULARY)
    assert sum(logits.shape[0] for logits in head) == len(inputs)
    assert all(logits.shape[1] == 1 for logits in head)


@pytest.mark.parametrize(
    "options", [{"sliding_window": 4}, {"sliding_window": None}, {"attn_implementation": "eager"}], ids=str
)
def test_attention_of_other_kinds_is_read_one_by_one_too(options: dict[str, Any]):
    subject = Subject.from_model(tiny_model("mistral", **options))
    (site,) = subject.sites(["resid_post.2"])
    together = subject.capture(related(), [site]).activations[site]
    for i, tokens in enumerate(related()):
        assert_close(together[i], subject.capture([tokens], [site]).activations[site][0])


def hooks(model: torch.nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def test_a_value_that_is_not_finite_is_refused_by_site_and_input(subject: Subject):
    subject.model.get_input_embeddings().weight.data[7] = float("nan")
    subject.capture([(3, 4, 5), (6, 8)], everywhere(subject))
    with refuses("z.0.0", "input 1", remedy="float32"):
        subject.capture([(6, 8), (9, 7, 6), (3, 5, 8)], everywhere(subject))
    with refuses("resid_pre.0", "input 1"):
        subject.capture([(3, 4), (3, 4, 7)], subject.sites(["resid_pre.*"]))
    with refuses("logits", "input"):
        subject.capture([(3, 4), (7, 4)], [], logits=True)
    in_one_row = [(3, 4, 5, 6, last) for last in (9, 10, 11, 7, 12)]
    with refuses("resid_post.1", "input 3"):
        subject.capture(in_one_row, subject.sites(["resid_post.1"]))
    assert hooks(subject.model) == 0


def limit_memory(monkeypatch: pytest.MonkeyPatch, subject: Subject, tokens: int, error: Exception) -> list[int]:
    """From now on a pass over more than so many tokens raises the error; returns the sizes tried."""
    tried: list[int] = []
    forward = subject.model.base_model.forward

    def limited(*args: Any, **kwargs: Any) -> Any:
        tried.append(kwargs["input_ids"].numel())
        if tried[-1] > tokens:
            raise error
        return forward(*args, **kwargs)

    monkeypatch.setattr(subject.model.base_model, "forward", limited)
    return tried


OUT_OF_MEMORY = (
    torch.OutOfMemoryError("CUDA out of memory."),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory: you tried to allocate"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
)


@pytest.mark.parametrize("inputs", [unrelated(), related()], ids=["padded", "packed"])
@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["cuda", "windows", "linux"])
def test_a_batch_too_large_for_memory_is_halved(monkeypatch: pytest.MonkeyPatch, inputs, error: Exception):
    subject = Subject.from_model(tiny_model("llama"))
    (site,) = subject.sites(["resid_post.1"])
    expected, finished = subject.capture(inputs, [site]).activations[site], []
    tried = limit_memory(monkeypatch, subject, 20, error)
    found = subject.capture(
        inputs, [site], progress=lambda done, total, note="": finished.append((done, total))
    ).activations[site]
    assert_close(found, expected)
    assert max(tried) > 20 and [done for done, _ in finished] == sorted(done for done, _ in finished)
    assert finished[-1] == (len(inputs), len(inputs))


def test_too_little_memory_for_one_input_is_a_users_error(monkeypatch: pytest.MonkeyPatch):
    subject = Subject.from_model(tiny_model("llama"))
    limit_memory(monkeypatch, subject, 5, torch.OutOfMemoryError("CUDA out of memory."))
    with refuses("memory", given=True, remedy="batch"):
        subject.capture(unrelated(), subject.sites(["resid_post.1"]))
    assert hooks(subject.model) == 0


def test_an_error_of_another_kind_is_not_taken_for_lack_of_memory(monkeypatch: pytest.MonkeyPatch):
    subject = Subject.from_model(tiny_model("llama"))
    limit_memory(monkeypatch, subject, 5, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        subject.capture(unrelated(), subject.sites(["resid_post.1"]))


def test_half_precision_comes_back_as_float32():
    subject = Subject.from_model(tiny_model("llama").to(torch.bfloat16))
    exact = Subject.from_model(tiny_model("llama"))
    (site,) = subject.sites(["resid_post.1"])
    found = subject.capture(unrelated(), [site], logits=True)
    wanted = exact.capture(unrelated(), [site]).activations[site]
    assert found.activations[site].dtype == found.logits.dtype == torch.float32
    assert (found.activations[site] - wanted).norm() < 0.05 * wanted.norm()


def test_rows_and_sites_keep_the_callers_order():
    subject = Subject.from_model(tiny_model("llama"))
    sites = [Site("resid_post", 1), Site("z", 0, 2), Site("resid_pre", 0)]
    captured = subject.capture([(5, 6), (7,)], sites)
    assert list(captured.activations) == sites
    embedding = subject.model.get_input_embeddings().weight
    assert torch.equal(captured.activations[sites[2]], embedding[[6, 7]])
    assert subject.capture([], sites).activations[sites[0]].shape == (0, subject.shape.width)


@pytest.mark.parametrize(
    ("tokens", "given", "allowed"),
    [((), ("input 1", "0 tokens"), "1 to 32"), ((3,) * (LONGEST + 1), ("input 1", "33 tokens"), "1 to 32"),
     ((3, VOCABULARY), "input 1: [3, 41]", "0 to 40"), ((-1, 3), "input 1: [-1, 3]", "0 to 40")],
)  # fmt: skip
def test_an_input_that_cannot_be_read_is_refused(tokens: tuple[int, ...], given: object, allowed: str):
    subject = Subject.from_model(tiny_model("gpt2"))
    with refuses(given=given, allowed=allowed):
        subject.capture([(3,), tokens], subject.sites(["resid_post.1"]))


@pytest.mark.gpu
def test_a_gpu_reads_what_the_cpu_reads():
    inputs = [*unrelated(), *related()]
    there, here = Subject.from_model(tiny_model("llama").cuda()), Subject.from_model(tiny_model("llama"))
    sites = here.sites(EVERYTHING)
    left, right = there.capture(inputs, sites), here.capture(inputs, sites)
    for site in sites:
        torch.testing.assert_close(left.activations[site], right.activations[site], rtol=1e-2, atol=1e-3)
