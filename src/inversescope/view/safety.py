"""Guard before every page of the viewer: host, origin and token are checked, and every reply has a strict policy.

Another web page, which the browser shows at the same time, can send requests to this machine. It knows no token; its
origin is refused; and a name of its own that leads to this machine (rebinding) is refused by the host.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL = ("127.0.0.1", "localhost", "::1")
TOKEN = "token"  # in the address, once; a cookie from then on
HEADER = "x-inversescope-token"
LARGEST = 64 * 2**20  # bytes of a request
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
NO_TOKEN = (
    "This page needs the address that `inversescope view` has printed, with its token. "
    "If you followed a link, open that address first, in this browser."
)


class Guard:
    """Application around the viewer's, which only sees what has passed.

    Args:
        app: the viewer.
        token: of this start of the server.
        port: at which it listens.
        hosts: names under which it may be called; None: any number of an address, which no other page can rebind.
    """

    def __init__(self, app: ASGIApp, token: str, port: int, hosts: Iterable[str] | None = LOCAL):
        self._app, self._token, self._port = app, token, port
        self._hosts = None if hosts is None else frozenset(hosts)
        self._cookie = f"inversescope-{port}"  # cookies of one host are the same at every port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no web sockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        headers, query = Headers(scope=scope), dict(parse_qsl(scope["query_string"].decode("latin-1")))

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add(message)
            await send(message)

        reply = self._refusal(scope, headers) or self._enter(scope, query) or self._stranger(headers, query)
        await (reply or self._app)(scope, receive, guarded)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """The reply to a request that no page of ours sends."""
        host = headers.get("host", "")
        if not self._known(host):
            return PlainTextResponse("This host name is not the viewer's.", 421)
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return PlainTextResponse("Requests of other pages are refused.", 403)
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not _navigates(scope, headers):
            return PlainTextResponse("Requests of other pages are refused.", 403)
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdigit() or int(length) > LARGEST:
            return PlainTextResponse(f"The request is too long: at most {LARGEST} bytes.", 413)
        return None

    def _known(self, host: str) -> bool:
        name, port = _parted(host)
        if port != self._port:
            return False
        return name in self._hosts if self._hosts is not None else name in LOCAL or _is_number(name)

    def _enter(self, scope: Scope, query: dict[str, str]) -> Response | None:
        """The token of the address becomes a cookie, and leaves the address."""
        if scope["path"] != "/" or not self._right(query.pop(TOKEN, "")):
            return None
        reply = RedirectResponse(f"/?{urlencode(query)}" if query else "/", 303)
        reply.set_cookie(self._cookie, self._token, httponly=True, samesite="strict", path="/")
        return reply

    def _stranger(self, headers: Headers, query: dict[str, str]) -> Response | None:
        given = headers.get(HEADER) or _cookie(headers.get("cookie", ""), self._cookie)
        return None if self._right(given) else PlainTextResponse(NO_TOKEN, 403)

    def _right(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self._token.encode())


def _navigates(scope: Scope, headers: Headers) -> bool:
    """True where a link is followed: the page is opened, and the other page cannot read it."""
    return scope["method"] == "GET" and scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"


def _parted(host: str) -> tuple[str, int | None]:
    """The name and the port of a host; None where it has no port."""
    name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    if not port.isascii() or not port.isdigit():
        return host.lower(), None
    return name.strip("[]").lower(), int(port)


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _cookie(text: str, name: str) -> str:
    try:
        morsel: Any = SimpleCookie(text).get(name)
    except CookieError:
        return ""
    return "" if morsel is None else morsel.value


def _add(message: Message) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in _ALWAYS.items():
        headers.setdefault(name, value)
    headers.setdefault("content-security-policy", POLICY)
