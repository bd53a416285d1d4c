"""The viewer as a server on this machine: its port, its address with the token, and the browser that opens it."""

from __future__ import annotations

import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from inversescope import extras
from inversescope.errors import UserError
from inversescope.view.runs import found_in, identified

PORT = 8642
LOCAL = ("127.0.0.1", "localhost", "::1")
EVERYWHERE = ("0.0.0.0", "::")


def serve(
    folders: Sequence[Path],
    *,
    host: str,
    port: int | None,
    browser: bool,
    model: str,
    say: Callable[[str], None],
) -> None:
    """Serve these runs, or those in `runs/`, until Ctrl-C.

    Args:
        host: address at which it listens.
        port: None: 8642, or if that is taken, one that is free.
        browser: open the page.
        model: of natural text.
        say: writes a line to the terminal.

    Raises:
        UserError: a package of the extra is missing, there is no such folder, or the port is taken.
    """
    try:
        import uvicorn

        from inversescope.view.app import make_app
        from inversescope.view.safety import TOKEN, Guard
    except ImportError as error:
        raise UserError("the viewer needs the extra `view`", given=str(error), remedy=extras.install("view")) from error

    shown = require_folders(folders) or found_in(Path("runs"))
    listening = listen(host, port)
    number, token = listening.getsockname()[1], secrets.token_urlsafe(24)
    if host not in LOCAL:
        say(
            f"warning: anybody who can reach {host} and has the token can use the viewer, and the connection is not "
            "encrypted; without --host it is for this machine alone"
        )
    hosts = None if host in EVERYWHERE else (*LOCAL, host.lower())
    app = Guard(make_app(identified(shown), model, say), token, number, hosts)
    address = f"http://{_in_address(host)}:{number}/?{TOKEN}={token}"
    runs = f"{len(shown)} run{'' if len(shown) == 1 else 's'}"
    say(f"{runs}, and any text without a run, at\n\n  {address}\n\nCtrl-C ends")
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="error", access_log=False, server_header=False, timeout_graceful_shutdown=1)
    )
    if browser:
        webbrowser.open(address)
    with closing(listening):
        server.run(sockets=[listening])


class Viewing(NamedTuple):
    """A viewer that runs in this process.

    Attributes:
        address: of the page, without the token.
        token: that its address needs once.
        ids: of the runs, in their order.
    """

    address: str
    token: str
    ids: list[str]


@contextmanager
def viewing(
    folders: Sequence[Path], model: str = "smollm2", say: Callable[[str], None] = lambda _: None
) -> Iterator[Viewing]:
    """A viewer of these runs in a thread of this process, at a free port of this machine, until the block ends. `say`
    is called with what the terminal would show.
    """
    import uvicorn

    from inversescope.view.app import make_app
    from inversescope.view.safety import Guard

    token, runs = secrets.token_urlsafe(24), identified(folders)
    with closing(_bound(LOCAL[0], 0)) as listening:
        port = listening.getsockname()[1]
        app = Guard(make_app(runs, model, say), token, port)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield Viewing(f"http://{LOCAL[0]}:{port}", token, list(runs))
        finally:
            server.should_exit = True
            thread.join(10)


def require_folders(folders: Sequence[Path]) -> list[Path]:
    """The folders, each of which exists; the state of the run in it is the page's to show.

    Raises:
        UserError: one does not exist.
    """
    for folder in folders:
        if not folder.is_dir():
            raise UserError("there is no such folder", given=folder, allowed="folders of runs, such as runs/demo")
    return list(folders)


def listen(host: str, port: int | None) -> socket.socket:
    """A socket that listens at a port.

    Raises:
        UserError: the port is taken, or the address is not this machine's.
    """
    try:
        return _bound(host, PORT if port is None else port)
    except OSError as error:
        if port is None:
            return _bound(host, 0)
        try:
            with closing(_bound(host, 0)) as free:
                remedy = f"--port {free.getsockname()[1]}, which is free"
        except OSError:
            remedy = "an address of this machine, or no --host"
        raise UserError(
            "the viewer cannot listen there", given=f"{host}, port {port}: {error.strerror or error}", remedy=remedy
        ) from error


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
    except BaseException:
        listening.close()
        raise
    return listening


def _in_address(host: str) -> str:
    shown = "127.0.0.1" if host == "0.0.0.0" else "::1" if host == "::" else host
    return f"[{shown}]" if ":" in shown else shown
