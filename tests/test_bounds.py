"""Bounds on what is handed in: each has a case that it refuses, and one that it lets pass."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from refusals import check, printed, refuses
from small_subject import World, call, tokenizer

from inversescope import cli, files
from inversescope.bounds import LimitError, exhausted, limited
from inversescope.cli.shared import app
from inversescope.config import RunConfig
from inversescope.explain import explain
from inversescope.features.language import parse
from inversescope.inverter import Inverter
from inversescope.subject.tokenizer import PretrainedTokenizer
from inversescope.tasks import entries

HUGE = 10**30


def numbers(schema: dict[str, Any], place: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every number that a JSON schema allows, with its limits."""
    number = schema.get("type") in ("integer", "number") and not {"const", "enum"} & set(schema)
    found = [(place, schema)] if number else []
    for key, value in schema.items():
        if isinstance(value, dict):
            found += numbers(value, f"{place}.{key}".removesuffix(".properties"))
        elif isinstance(value, list):
            found += [n for each in value if isinstance(each, dict) for n in numbers(each, f"{place}.{key}")]
    return found


def test_every_number_of_a_config_has_a_lower_and_an_upper_bound():
    """`position` is an index, which the length of the text bounds."""
    kinds = [RunConfig, *(entry.config for entry in entries().values() if entry.module.startswith("inversescope."))]
    found = [number for kind in kinds for number in numbers(kind.model_json_schema(), kind.__name__)]
    assert len(found) > 40
    lower, upper = ("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")
    open_ended = [place for place, limits in found if not (any(map(limits.get, upper)) and set(lower) & set(limits))]
    assert [place for place in open_ended if ".position." not in place] == []


@pytest.mark.parametrize("key", ["collect.targets", "collect.train", "generator.width", "sample.samples", "seed"])
@pytest.mark.parametrize("value", [HUGE, -HUGE, 10**400, "9" * 5000, "nan", "inf", "-1e400", "[" * 1000, "[" * 99_999])
def test_a_number_that_cannot_be(key: str, value: object):
    section, _, name = key.rpartition(".")
    with refuses():
        RunConfig.parse(f"[{section}]\n{name} = {value}" if section else f"{name} = {value}", "x")


@pytest.mark.parametrize("name", ["x" * 100_000, "x/" * 50_000])
def test_a_name_that_is_too_long_for_a_path(name: str):
    assert RunConfig.parse(f'[subject]\nmodel = "{name}"', "x").subject.model == name


def test_numbers_that_are_too_large_together():
    with refuses("collect.targets", "1,000,000,000"):
        RunConfig.parse("[collect]\npool = 10_000_000\ntargets = 1_000", "x")
    RunConfig.parse("[collect]\npool = 1_000_000\ntargets = 1_000", "x")
    with refuses("width", "layers"):
        RunConfig.parse("[generator]\nwidth = 16_384\nlayers = 256", "x")
    RunConfig.parse("[generator]\nwidth = 4_096\nlayers = 9", "x")


@pytest.mark.parametrize(
    "source",
    ["a{100000000}", "(?:a{100}){101}", "(?:(?:(?:ab){100}){100}){100}", "(?x)a{ 1 00000000 }", "a{99999999,}",
     "(?x)a{1#\n00000000}", "#{99999999}", "(?:a{9999}b{9999})"],
)  # fmt: skip
def test_a_regular_expression_that_would_take_all_memory(source: str):
    with refuses("features.x.regex"):
        RunConfig.parse(f"[features]\nx = {{ regex = {json.dumps(source)} }}", "x")


@pytest.mark.parametrize(
    "source", ["a{0,100000000}", r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}", ".{1,200}x.{1,200}", "(a{99}){99}"]
)
def test_a_regular_expression_that_is_harmless(source: str):
    assert parse(f"matches({source!r})").label("a" * 9999) in ("yes", "no", None)


def converse(template: str) -> str:
    words = tokenizer()
    words.chat_template = template
    return PretrainedTokenizer(words).converse([{"role": "user", "content": "hello"}])


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% set c = a * b %}{% endfor %}{% endfor %}",
        "{% set n = namespace(x='ab') %}{% for a in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
        "{{ 'a' * 10**11 }}",
        "{{ 'a' * 10**7 }}b",
        "{% macro again(n) %}{{ again(n + 1) }}{% endmacro %}{{ again(0) }}",
        "{{ 1 // 0 }}",
        "{{ messages[0].nothing.at_all }}",
        "{% if %}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    ],
)
def test_a_chat_template_that_never_ends_or_fails(template: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("inversescope.subject.tokenizer.limited", lambda: limited(seconds=1, memory=1 << 28))
    with refuses(given=True):
        converse(template)


def test_a_chat_template_that_ends():
    assert converse("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}") == "<user>hello"


def test_a_limit_of_time_ends_what_takes_longer_and_leaves_nothing_behind():
    with pytest.raises(LimitError), limited(seconds=0.2):
        while True:
            pass
    for _ in range(200):
        with limited(seconds=5):
            pass
    with limited(seconds=0.3):
        value = sum(range(1000))
    time.sleep(0.5)  # the time is over, and nothing is raised any more
    assert value == 499_500


@pytest.mark.parametrize("error", [ValueError("wrong"), KeyError("x")])
def test_a_limit_lets_other_errors_pass(error: Exception):
    with pytest.raises(type(error)), limited(seconds=5):
        raise error


@pytest.mark.parametrize(
    ("error", "lacking"),
    [
        (MemoryError(), "memory"),
        (RecursionError("maximum recursion depth exceeded"), "nested"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"), "memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"), "memory"),
        (ImportError("libtorch.so: failed to map segment from shared object"), "memory"),
        (RuntimeError("can't start new thread"), "memory"),
        (RuntimeError("another fault"), None),
    ],
)
def test_what_ran_out_is_said_once(
    error: Exception, lacking: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def fails(arguments: object) -> None:
        raise error

    monkeypatch.setattr(cli, "app", fails)
    if lacking is None:
        assert exhausted(error) is None
        with pytest.raises(RuntimeError):
            call("doctor")
    else:
        assert call("doctor") == 2
        assert lacking in printed(capsys.readouterr().err).problem


def test_memory_that_the_system_does_not_give(world: World, monkeypatch: pytest.MonkeyPatch, capsys):
    def out_of_memory(*_: object, **__: object) -> None:
        bytearray(1 << 60)

    monkeypatch.setattr(Inverter, "invert", out_of_memory)
    assert call("invert", "Then", "--site", "resid_post.1", "--run", world.run) == 2
    check(printed(capsys.readouterr().err), remedy=True)


@pytest.mark.parametrize("command", [("invert", "-n"), ("explain", "-n"), ("propose", "--hypotheses")])
@pytest.mark.parametrize("count", [10**9, 10**30, -1, 0])
def test_a_count_on_the_command_line(command: tuple[str, str], count: int, capsys: pytest.CaptureFixture[str]):
    text = ["x"] if command[0] != "propose" else ["runs/none"]
    assert call(command[0], *text, "--site", "resid_post.1", command[1], count) == 2
    assert "Traceback" not in capsys.readouterr().err


# Numbers whose limits are those of a run, a model or a vector, and which are refused there.
ELSEWHERE = {"--resolution", "--bandwidth", "--scale", "--bits", "--seconds", "--length", "--price"}


def open_ended(command: Any) -> list[str]:
    """Numbers that a command takes, and that lack a lower or an upper bound."""
    kind = re.compile(r"\b(int|float)\b")
    numbers = [option for option in command.params if kind.search(str(option.type_descriptor.annotation))]
    return [option.opts[0] for option in numbers if None in (option.min, option.max)]


def test_every_number_on_the_command_line_has_a_lower_and_an_upper_bound():
    group: Any = typer.main.get_command(app)
    found = {name for command in group.commands.values() for name in open_ended(command)}
    assert found == ELSEWHERE


def test_a_number_without_an_upper_bound_is_seen():
    planted = typer.Typer()

    @planted.command()
    def _(
        unbounded: Annotated[int, typer.Option(min=1)] = 1, bounded: Annotated[int, typer.Option(min=1, max=2)] = 1
    ) -> None: ...

    assert open_ended(typer.main.get_command(planted)) == ["--unbounded"]


@pytest.mark.parametrize(
    "command",
    [
        ("view", "runs/none", "--bundle", "folder", "--largest", "inf"),
        ("propose", "runs/none", "--site", "resid_post.1", "--price", "nan", "1"),
        ("propose", "runs/none", "--site", "resid_post.1", "--price", "1", "inf"),
        ("check", "runs/none", "--claims", "none.jsonl", "--price", "-1", "1"),
    ],
)
def test_a_number_that_is_none_on_the_command_line(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    assert call(*command) == 2
    assert command[-3 if "--price" in command else -2] in capsys.readouterr().err


def test_a_count_in_python(world: World):
    inverter = Inverter.load(world.run)
    with refuses(given=10**9, allowed="1 to 100,000"):
        inverter.invert("Then", site="resid_post.1", n=10**9)
    with refuses(given=10**9, allowed="2 to 100,000"):
        explain(inverter, "Then", sites=["resid_post.1"], n=10**9)


@pytest.mark.parametrize(
    "content",
    ["5", "true", "null", '"text"', "{}", "[]", "[5]", "[[]]", '[{"role": "user"}]', '[{"role": 5, "content": "x"}]',
     "", "[", "nan", "[" * 100_000, "9" * 5000, '[{"role": "user", "content": {"a": 1}}]', "\ufeff[]", "[null]"],
    ids=lambda content: content[:20],
)  # fmt: skip
def test_messages_that_are_none(content: str, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "messages.json").write_text(content)
    arguments = ("--site", "resid_post.1", "--run", world.run, "--messages", tmp_path / "messages.json")
    assert call("invert", *arguments) == 2
    printed(capsys.readouterr().err)


@pytest.mark.parametrize("path", ["/dev/zero", "/", "no/such/file.toml", "x" * 5000 + ".toml"])
def test_a_config_that_is_no_file(path: str, capsys: pytest.CaptureFixture[str]):
    assert call("run", path) == 2
    printed(capsys.readouterr().err)


def test_a_json_file_that_is_nested_too_deeply(tmp_path: Path):
    (tmp_path / "a.json").write_text("[" * 100_000)
    with refuses(tmp_path / "a.json"):
        files.read_json(tmp_path / "a.json")
