"""The command line through `main([...])` on a tiny subject: what it makes, says and shows."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from refusals import check, printed
from rich.console import Console
from run_contract import differences
from score_fixture import write_levels
from small_subject import World, call, config_text

from inversescope import __version__, files
from inversescope.cli import progress
from inversescope.cli.configs import shipped
from inversescope.cli.tables.runs import summary_table
from inversescope.cli.working import STEPS
from inversescope.config import RunConfig
from inversescope.score.compare import consistency
from inversescope.stats.design import targets_needed
from inversescope.stats.resampling import sign_test
from inversescope.verdicts import NULL_FEATURE

TEXT = "Then, Michael and Jessica went to the store. Jessica gave a ring to"


def test_a_run_leaves_what_the_page_says(world: World):
    assert differences(world.run) == []
    for folder in (world.run, *(world.run / step for step in STEPS)):
        files.check(folder)


def test_step_by_step_gives_the_same_numbers(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = tmp_path / "run"
    assert call("run", world.config, "--out", run, "--until", "task") == 0
    for step in STEPS:
        assert call("step", run, step) == 0
    shown = capsys.readouterr()
    assert f"report: {run / 'report' / 'report.html'}" in shown.err
    assert "indirect object" in shown.out
    for name in ("train/generator.safetensors", "score/results.json"):
        assert (run / name).read_bytes() == (world.run / name).read_bytes()
    assert call("step", run, "train") == 0
    assert str(run / "train") in capsys.readouterr().err  # done already: what to delete to do it again


def test_a_run_stops_where_it_is_told_to_and_goes_on(world: World, tmp_path: Path):
    run = tmp_path / "run"
    assert call("run", world.config, "--out", run, "--until", "collect") == 0
    assert files.finished(run / "collect") and not (run / "train").exists()
    assert call("run", world.config, "--out", run, "--resume", "--until", "train") == 0
    assert files.finished(run / "train") and not (run / "sample").exists()


def test_a_finished_run_shows_its_report_without_torch(world: World):
    program = (
        "import sys\nfrom inversescope.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "print('loaded:', *sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    arguments = ["run", str(world.config), "--out", str(world.run), "--resume"]
    answer = subprocess.run([sys.executable, "-c", program, *arguments], check=True, capture_output=True, text=True)
    assert answer.stdout.splitlines()[-1] == "loaded:"
    assert "indirect object" in answer.stdout
    assert str(world.run / "report" / "report.html") in answer.stderr


def test_a_report_that_was_deleted_is_written_again(world: World, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(world.run, run)
    shutil.rmtree(run / "report")
    assert call("run", world.config, "--out", run, "--resume") == 0
    assert (run / "report" / "report.html").read_bytes() == (world.run / "report" / "report.html").read_bytes()


def test_the_config_is_kept_byte_for_byte(world: World, tmp_path: Path):
    config = tmp_path / "windows.toml"
    config.write_bytes(config_text(world.model).replace("\n", "\r\n").encode())
    for _ in range(2):
        assert call("run", config, "--out", tmp_path / "run", "--until", "task", "--resume") == 0
        assert (tmp_path / "run" / "config.toml").read_bytes() == config.read_bytes()


def test_python_dash_m_is_the_same_command_line():
    command = [sys.executable, "-m", "inversescope"]
    assert "invert" in subprocess.run([*command, "--help"], check=True, capture_output=True, text=True).stdout
    wrong = subprocess.run([*command, "run", "none.toml"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "none.toml" in wrong.stderr and "Traceback" not in wrong.stderr


def test_invert_shows_verified_samples(world: World, capsys: pytest.CaptureFixture[str]):
    options = ("--run", world.run, "--site", "resid_post.1", "--bandwidth", "0.3", "-n", "5")
    assert call("invert", TEXT, *options) == 0
    shown = capsys.readouterr().out
    assert re.search(r"resid_post\.1\b.*\b0\.3\b.*\b5\b", shown) and "indirect object" in shown
    assert call("invert", TEXT, *options) == 0
    assert capsys.readouterr().out == shown
    assert call("invert", TEXT, *options, "--seed", "1") == 0
    assert capsys.readouterr().out != shown


def test_invert_reads_where_it_is_told_to(world: World, capsys: pytest.CaptureFixture[str]):
    options = ("--run", world.run, "--site", "resid_post.1", "--bandwidth", "0.3", "-n", "5")
    shown = []
    for arguments in (("Then, Michael",), (TEXT, "--position", "Then, Michael"), (TEXT, "--position", "2")):
        assert call("invert", *arguments, *options) == 0
        shown.append(capsys.readouterr().out)
    warning, told, rest = shown[0].partition("\nThen, Michael\n")  # the run reads at END: this is far from all it read
    assert warning.startswith("outside of the prior: ") and told and "outside" not in rest and len(set(shown)) == 1


def test_invert_reads_a_conversation_at_a_turn(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def converse(_: object, messages: list[dict]) -> str:
        return "".join(f"{message['role']}: {message['content']}</s>" for message in messages)

    monkeypatch.setattr("inversescope.subject.tokenizer.PretrainedTokenizer.converse", converse)
    talk = [{"role": "user", "content": "Who went?"}, {"role": "assistant", "content": "Mary"}]
    (tmp_path / "talk.json").write_text(json.dumps(talk))
    options = ("--run", world.run, "--site", "resid_post.1", "--bandwidth", "0.3", "-n", "2")
    for position, shown in (("last", "user: Who went?‹/s›assistant: Mary‹/s›"), ("user:-1", "user: Who went?")):
        assert call("invert", "--messages", tmp_path / "talk.json", "--position", position, *options) == 0
        warning, told, _ = capsys.readouterr().out.partition(f"\n{shown}\n")
        assert warning.startswith("outside of the prior: ") and told  # the prior has no conversations
    assert call("invert", "--messages", tmp_path / "talk.json", "--position", "tool:0", *options) == 2
    check(printed(capsys.readouterr().err), given="tool:0", allowed="user, assistant")


def test_sites_lists_what_there_is(world: World, capsys: pytest.CaptureFixture[str]):
    assert call("sites", world.model) == 0
    assert re.search(r"z\.0\.0 to z\.1\.1 +\S* *4 +\S* *8", capsys.readouterr().out)
    assert call("sites", world.model, "--select", "z.1.*,resid_post.0") == 0
    assert capsys.readouterr().out.split() == ["resid_post.0", "z.1.0", "z.1.1"]


# The summary


def test_the_summary_fits_a_terminal(world: World):
    for width in (80, 100):
        screen = Console(file=io.StringIO(), width=width, highlight=False)
        screen.print(summary_table(world.run))
        lines = screen.file.getvalue().splitlines()
        assert "…" not in screen.file.getvalue() and max(map(len, lines)) <= 80
        assert lines[0].startswith("resid_post.1:") and "95%" in lines[0]
        assert lines[1].split() == ["feature", "level", "generator", "others", "q", "reference", "nearest", "chance"]
        features = dict.fromkeys(row["feature"] for row in scores(world.run))
        rows = lines[2 : 2 + len(features)]  # one line a feature: no wrapping
        assert [row[: row.index("  ")] for row in rows] == list(features)


def test_a_run_ends_with_its_headline_and_the_scores_at_its_site(world: World, capsys: pytest.CaptureFixture[str]):
    assert call("run", world.config, "--out", world.run, "--resume") == 0
    shown, headline = " ".join(capsys.readouterr().out.split()), files.read_json(world.run / "causal" / "headline.json")
    place = shown.index(headline["sentence"])
    assert shown.index("feature consistency rate") < place
    site = headline["site"] or "resid_post.1"
    assert f"{site}: feature consistency rate" in shown
    screen = Console(file=io.StringIO(), width=80)
    screen.print(summary_table(world.run, "resid_post.0"))
    assert screen.file.getvalue().startswith("resid_post.0:")


def scores(run: Path) -> list[dict]:
    return files.read_json(run / "score" / "results.json")["scores"]


def test_the_summary_shows_a_second_bandwidth_where_the_reference_is_reliable(tmp_path: Path):
    def row(method: str, h: float | None, fcr: float | None, ess: float, site: str = "resid_post.3") -> dict:
        ends = {"fcr_low": fcr and fcr - 0.1, "fcr_high": fcr and min(1.0, fcr + 0.1)}
        return {
            "method": method,
            "site": site,
            "feature": "f",
            "resolution": None,
            "bandwidth": h,
            "null_passes": False,
            "source_alone": method == "generator" and h == 0.05,
            "others": fcr and fcr - 0.3,
            "below_noise": False,
            "fcr": fcr,
            "chance": 0.25,
            "q_value": fcr and 0.004 / h if h else None,
            "ess": ess,
            "trusted": ess >= 30 if method == "reference" else None,
        } | ends

    rows = [row(method, h, 0.5 + h, 8) for h in (0.3, 0.05, 0.1) for method in ("generator", "weighted")]
    rows += [row("reference", 0.05, None, 2), row("reference", 0.1, 0.7, 30), row("reference", 0.3, 0.8, 300)]
    rows += [row("nearest", None, 0.996, 8), row("generator", 0.05, 0.11, 8, site="resid_post.2")]
    files.write_json(tmp_path / "score" / "results.json", {"scores": rows})
    write_levels(tmp_path, {})
    screen = Console(file=io.StringIO(), width=80)
    screen.print(summary_table(tmp_path))
    first, second = (re.split(r"  +", line.strip()) for line in screen.file.getvalue().splitlines()[2:4])
    assert first == ["f", "0.05†", ".55 [.45 .65]", ".25", ".08", "–", "1.0", ".25"]
    assert second == ["f", "0.1", ".60 [.50 .70]", ".30", ".04", ".70 [.60 .80]", "1.0", ".25"]

    # Where a hash of the input passes at these two, the first bandwidth at which something may be claimed stands below.
    again = [row | {"null_passes": row["method"] == "weighted" and row["bandwidth"] <= 0.1} for row in rows]
    files.write_json(tmp_path / "score" / "results.json", {"scores": again})
    with screen.capture() as shown:
        screen.print(summary_table(tmp_path))
    levels = [line.split()[1] for line in shown.get().splitlines()[2:5]]
    assert levels == ["0.05*†", "0.1*", "0.3"] and "0.1 on" in shown.get()


def test_power_says_how_many_targets_are_needed(world: World, capsys: pytest.CaptureFixture[str]):
    assert call("power", "--fcr", "0.5", "--icc", "0", "--width", "0.1") == 0
    shown = capsys.readouterr().out
    draws, targets = re.findall(r"(\d+) targets\D+(\d+) samples\D+([\d,]+) draws", shown)
    for found in (draws, targets):
        assert int(found[0]) == targets_needed(0.5, 0, int(found[1]), 0.1)
        assert int(found[2].replace(",", "")) == int(found[0]) * int(found[1])
    assert int(draws[0]) > int(targets[0])

    place = ("--feature", "subject", "--site", "resid_post.1", "--bandwidth", "0.5", "--method", "generator")
    assert call("power", world.run, *place) == 0
    row = next(row for row in scores(world.run) if [row["method"], row["site"], row["feature"], row["bandwidth"]] == [
        "generator", "resid_post.1", "subject", 0.5,
    ])  # fmt: skip
    assert f"consistency {row['fcr']:.2f}" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["compare", "power"])
def test_without_a_level_those_of_the_run_are_named(command: str, world: World, capsys: pytest.CaptureFixture[str]):
    assert call(command, world.run, "--feature", "subject", "--site", "resid_post.1") == 2
    known = sorted({row["bandwidth"] for row in scores(world.run) if row["method"] == "generator"})
    check(printed(capsys.readouterr().err), allowed=", ".join(f"-b {h:g}" for h in known))


def test_two_sites_are_compared_on_the_same_targets(world: World, capsys: pytest.CaptureFixture[str]):
    sites = ("--site", "resid_post.0", "--site", "resid_post.1")
    shared = ("--feature", "subject", "--bandwidth", "0.5", "--method", "generator")
    assert call("compare", world.run, *sites, *shared) == 0
    lines = capsys.readouterr().out.splitlines()
    scored = {(r["method"], r["site"], r["feature"], r["bandwidth"]): r["fcr"] for r in scores(world.run)}
    first, second = (scored["generator", f"resid_post.{layer}", "subject", 0.5] for layer in (0, 1))
    for line, value in zip(lines[2:5], (first, second, first - second), strict=True):
        assert f"  {value:.2f} [" in line and line.split()[-1] == "4"
    one, other = (
        consistency(world.run, "generator", f"resid_post.{layer}", "subject", None, 0.5).rates for layer in (0, 1)
    )
    p = sign_test(one - other, np.random.default_rng(0))
    assert not re.search(r"\d", lines[5]) if np.isnan(p) else f"p = {p:.3g}" in lines[5]


def test_the_summary_of_texts_without_labels(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Nothing to score but the null feature is nothing to fail at."""
    (tmp_path / "texts.txt").write_text("".join(f"{a} gave {b} a ring\n" for a in "abcdefgh" for b in "ijklmnop"))
    text = config_text(world.model, steps=6)
    start, end = text.index("[task]"), text.index("[collect]")
    task = f'[task]\nname = "texts"\npath = "{tmp_path / "texts.txt"}"\n'
    (tmp_path / "run.toml").write_text(text[:start] + task + text[end:])
    assert call("run", tmp_path / "run.toml", "--out", tmp_path / "run") == 0
    assert {row["feature"] for row in scores(tmp_path / "run")} == {NULL_FEATURE}
    assert "no feature was scored" in capsys.readouterr().out


# Progress


def test_progress_in_a_log_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch):
    screen, now = Console(file=io.StringIO()), [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.shown("train", screen) as show:
        for step in range(1, 1001):
            now[0] += 0.5
            show(step, 1000, f"[{step}]")
        show(1000, 1000, "again")
    lines = screen.file.getvalue().splitlines()
    assert lines[0] == "train      121/1000 [121]" and lines[-1] == "train      1000/1000 [1000]"
    assert len(lines) == 9


# The configs that ship


def test_every_config_that_ships_can_be_used():
    known = shipped()
    assert known.keys() >= {"demo", "demo-full", "ioi", "cities", "ravel", "icl", "chat"}
    configs = {name: RunConfig.parse(text, name) for name, text in known.items()}
    assert {type(config.task).__name__ for config in configs.values()} == {
        "IOIConfig", "CitiesConfig", "RavelConfig", "ICLConfig", "ChatConfig", "CorpusConfig", "FactsConfig",
    }  # fmt: skip
    layers = {f"resid_post.{layer}" for layer in range(32)}
    for config in configs.values():
        assert set(config.generator.sites) <= {*config.collect.sites, *layers}


def test_a_config_that_ships_is_run_by_its_name(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("inversescope.cli.configs.shipped", lambda: {"small": config_text(world.model), "other": ""})
    assert call("run", "small", "--until", "task") == 0
    assert (tmp_path / "runs" / "small" / "config.toml").read_text() == config_text(world.model)
    assert call("run", "smal") == 2
    check(printed(capsys.readouterr().err), given="smal", allowed="small, other")
    (tmp_path / "other").write_text("seed = -1")  # a file of that name comes first
    assert call("run", "other") == 2
    check(printed(capsys.readouterr().err), "other", given="seed")


# The demo


def test_the_demo_configs_agree():
    small, full = (RunConfig.parse(shipped()[name], name) for name in ("demo", "demo-full"))
    assert full.generator.sites == full.collect.sites == small.collect.sites
    assert full.train.sites_per_step == 16
    assert full.train.steps == 30 * small.train.steps  # in proportion to their sites: 300 against 10
    same = {"generator": {"sites": ...}, "train": {"steps": ..., "sites_per_step": ...}}
    assert small.model_dump(exclude=same) == full.model_dump(exclude=same)


def test_the_demo_prints_its_config(capsys: pytest.CaptureFixture[str]):
    assert call("demo", "--print-config") == 0
    assert capsys.readouterr().out == shipped()["demo"]


@pytest.fixture
def small_demo(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inversescope.cli.runs.shipped", lambda: {"demo": config_text(world.model, steps=6)})


def test_the_demo_runs_once(small_demo: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert call("demo", "--out", tmp_path / "demo") == 0
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "demo").rglob("*") if path.is_file()}
    capsys.readouterr()
    assert call("demo", "--out", tmp_path / "demo") == 0
    assert str(tmp_path / "demo" / "report" / "report.html") in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in written} == written  # nothing is done again


def test_calibrate_says_what_is_known_of_every_site(world: World, capsys: pytest.CaptureFixture[str]):
    assert call("step", world.run, "calibrate") == 0  # done already: it says so, and shows what it found
    shown = capsys.readouterr()
    assert str(world.run / "calibrate") in shown.err  # done already: what to delete to do it again
    assert re.search(r"\bp = (\d|\.)", shown.out)
    for site in ("resid_post.0", "resid_post.1", "z.1.0"):
        assert re.search(rf"{re.escape(site)} +[0-9.]+ +clean +(calibrated|copies|undertrained|cannot tell)", shown.out)


def test_causal_says_what_each_site_moves(world: World, capsys: pytest.CaptureFixture[str]):
    assert call("step", world.run, "causal") == 0
    shown = capsys.readouterr()
    assert str(world.run / "causal") in shown.err
    for site in ("resid_post.0", "resid_post.1", "z.1.0"):
        assert re.search(rf"{re.escape(site)} +(a random input's|.+\d\.\d\d \[)", shown.out)


@pytest.mark.parametrize(
    "steps, judged", [(1, {"undertrained"}), pytest.param(400, {"calibrated"}, marks=pytest.mark.slow)]
)
def test_on_a_whole_prior_a_generator_is_called_what_it_is(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], steps: int, judged: set[str]
):
    config = config_text(world.model, steps=steps).replace("train = 30", 'train = "all"')
    config = config.replace("pool = 24", 'pool = "all"').replace("bandwidths = [0.02, 1.0]", "")
    config = config.replace("clean = 0.8", "check = 100\nclean = 0.5").replace("0.02", "0.005")
    # What is told before training must not be enough: this encoder knows nothing that it has not learned.
    config = config.replace("width = 16", 'width = 16\nencoder = "residual"' if steps == 1 else "width = 16")
    config += '[calibrate]\nqueries = ["clean", "noisy"]\nbandwidths = "range"\n'
    (tmp_path / "config.toml").write_text(config)
    assert call("run", tmp_path / "config.toml", "--out", tmp_path / "run") == 0
    assert differences(tmp_path / "run") == []
    found = files.read_json(tmp_path / "run" / "calibrate" / "verdicts.json")
    assert found["truth"] == "exact"
    assert {word for word in found["counts"] if found["counts"][word]} == judged
    page = (tmp_path / "run" / "report" / "report.html").read_text()
    assert all(f'class="{word}"' in page for word in judged)
    capsys.readouterr()
    assert call("step", tmp_path / "run", "calibrate") == 0
    assert re.search(r"\bexact\b", capsys.readouterr().out)


def test_a_resumed_run_says_that_it_has_come_as_far_as_asked(world: World, tmp_path: Path, capsys):
    run = shutil.copytree(world.run, tmp_path / "run")
    (run / files.MANIFEST).unlink()
    assert call("run", world.config, "--out", run, "--resume", "--until", "collect") == 0
    assert "nothing is left to do up to step collect" in capsys.readouterr().err
    assert call("run", world.config, "--out", run, "--resume") == 0
    assert "nothing is left" not in capsys.readouterr().err


def test_the_doctor_examines_a_model(world: World, capsys: pytest.CaptureFixture[str]):
    assert call("doctor", world.model) == 0
    said = capsys.readouterr().out
    assert all(point in said for point in ("resid_post", "attn_out", "mlp_out", "early exit"))
    held = next(line for line in said.splitlines() if "do not ignore noise at z" in line)
    assert re.search(r"ok .* 0 ", held.replace("│", " ")) and "0.0e+00" not in said
    assert re.search(r"every input starts with: .+, as the model's own tokenizer does", " ".join(said.split()))
    assert call("doctor", "nowhere/at-all") == 2
    check(printed(capsys.readouterr().err), given="'nowhere/at-all'", allowed="smollm2")


def test_short_help_is_help_and_there_is_a_version(capsys: pytest.CaptureFixture[str]):
    for command in ((), ("run",), ("invert",), ("compare",)):
        pages = []
        for option in ("-h", "--help"):
            assert call(*command, option) == 0
            pages.append(capsys.readouterr().out)
        assert pages[0] == pages[1] != ""
    assert call("--version") == 0
    assert capsys.readouterr().out == f"inversescope {__version__}\n"
