"""The frame of the tests: executed shape annotations, repeatable hypothesis, shared worlds, a list of tests not run."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from ray.cluster_utils import Cluster
    from small_subject import World

# Before anything imports the package: from here on each annotated shape and type in it is checked at every call.
install_import_hook("inversescope", "typecheck.checked")

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

DESELECTED = pytest.StashKey[set[str]]()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all processes of a session; what lies in it is made under a lock (`once.py`)."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def world(shared: Path) -> World:
    """The small subject with a finished run. Tests leave it as it is."""
    from small_subject import world_in

    return world_in(shared)


@pytest.fixture(scope="session")
def cluster_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cache of the user who runs the cluster of `nodes`."""
    return tmp_path_factory.mktemp("cluster-cache")


@pytest.fixture(scope="session")
def nodes(cluster_cache: Path) -> Iterator[Cluster]:
    """A Ray cluster of three nodes with a CPU each, all on this machine, to which this process is connected. It starts
    in half a minute on a busy machine, and is one for all tests.
    """
    from fake_nodes import fake_nodes

    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("INVERSESCOPE_CACHE", str(cluster_cache))
            cluster = stack.enter_context(fake_nodes(3))
        yield cluster


@pytest.fixture(scope="module")
def cluster_config(shared: Path, tmp_path_factory: pytest.TempPathFactory, cluster_cache: Path) -> Iterator[Path]:
    """Config of a small run with every step, beside which a module may write what it makes of it."""
    from cluster_fixture import write_config

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INVERSESCOPE_CACHE", str(cluster_cache))
        yield write_config(shared, tmp_path_factory.mktemp("cluster"))


@pytest.fixture(scope="module")
def cluster_alone(shared: Path, cluster_config: Path) -> dict[str, str]:
    """Hashes of the files of that run, done without workers."""
    from cluster_fixture import hashes_without_workers

    return hashes_without_workers(shared, cluster_config)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, closed whatever happens: a browser that stays would hold its process up."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium to run the page in")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(scope="session", autouse=True)
def _allowed_code(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Files that tests allow to be run are not remembered for the user."""
    from inversescope import python_file

    python_file.ALLOWED = str(tmp_path_factory.mktemp("allowed") / python_file.ALLOWED)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[DESELECTED] = set()
    if "PYTEST_XDIST_WORKER" in os.environ:
        import torch

        torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--network", action="store_true", help="also run the tests that reach beyond this machine")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("gpu") and not _has_cuda():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
        if item.get_closest_marker("network") and not config.getoption("--network"):
            item.add_marker(pytest.mark.skip(reason="only with --network"))


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        item.config.stash[DESELECTED].add(item.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # in a worker of pytest-xdist
        session.config.workeroutput["deselected"] = sorted(session.config.stash[DESELECTED])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Every worker has deselected the same tests."""
    node.config.stash[DESELECTED].update(getattr(node, "workeroutput", {}).get("deselected", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """List every test that was not run, one a line, so that a green run says what it leaves open."""
    skipped = Counter(
        f"{_name(report.nodeid)}: {_reason(report)}" for report in terminalreporter.stats.get("skipped", [])
    )
    chosen = " ".join(f"-{option} {value!r}" for option in "mk" if (value := _option(config, option))) or "--deselect"
    deselected = Counter(f"{_name(nodeid)}: left out by {chosen}" for nodeid in config.stash[DESELECTED])
    not_run = skipped + deselected
    if not_run:
        terminalreporter.section(f"not run: {not_run.total()}")
        for line, times in sorted(not_run.items()):
            terminalreporter.write_line(line if times == 1 else f"{line} ({times} cases)")


def _option(config: pytest.Config, option: str) -> str | None:
    return config.getoption({"m": "markexpr", "k": "keyword"}[option])


def _name(nodeid: str) -> str:
    """A test without its parameters."""
    return nodeid.partition("[")[0]


def _reason(report: pytest.TestReport) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()
