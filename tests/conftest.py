"""What every test runs under: executed shape annotations, repeatable hypothesis, and an honest closing list."""

from __future__ import annotations

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

# Before anything imports the package: from here on each annotated shape and type in it is checked at every call.
install_import_hook("inversescope", "typecheck.checked")

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

_deselected: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--network", action="store_true", help="also run the tests that reach beyond this machine")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("gpu") and not _has_cuda():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
        if item.get_closest_marker("network") and not config.getoption("--network"):
            item.add_marker(pytest.mark.skip(reason="only with --network"))


def pytest_deselected(items: list[pytest.Item]) -> None:
    _deselected.extend(item.nodeid for item in items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List every test that was not run, one a line, so that a green run says what it leaves open."""
    skipped = [f"{report.nodeid}: {_reason(report)}" for report in terminalreporter.stats.get("skipped", [])]
    not_run = skipped + [f"{nodeid}: deselected" for nodeid in _deselected]
    if not_run:
        terminalreporter.section(f"not run: {len(not_run)}")
        for line in sorted(not_run):
            terminalreporter.write_line(line)


def _reason(report: pytest.TestReport) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()
