"""Requests to the endpoint by the `openai` client: time-outs, repeated attempts, bounded bodies, every reply kept.

The retries of the client are off: every attempt counts against the budget, and an interruption ends a wait between two.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

from inversescope.errors import UserError
from inversescope.extras import install
from inversescope.progress import Progress, silent
from inversescope.propose.endpoint.address import Address
from inversescope.propose.endpoint.budget import Budget, estimate_tokens
from inversescope.propose.endpoint.replies import Replies, Reply, Request

MISSING = [name for name in ("openai", "httpx2") if find_spec(name) is None]  # the second is the first one's transport
if TYPE_CHECKING or not MISSING:  # claims are checked without a language model, too
    import httpx2
    import openai

ATTEMPTS = 5  # of one request
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds between them: doubling, or what the server asks for up to the longest
PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")  # of the environment, in either case of letters
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
LARGEST_REPLY = 1_000_000  # bytes of a response body that are read
LARGEST_REFUSAL = 300  # bytes of the body of an error status that are read and shown
AGAIN = "start the same command again: it goes on from here, and what was answered is not asked again"


class _BusyError(Exception):
    """The endpoint did not answer now; it may later, after the seconds it asked for."""

    def __init__(self, why: str, seconds: float | None = None):
        super().__init__(why)
        self.seconds = seconds


def require_client() -> None:
    """Refuse to ask a language model where the package `openai` is missing.

    Raises:
        UserError: it is.
    """
    if MISSING:
        given = f"not installed: {', '.join(MISSING)}"
        raise UserError("asking a language model needs openai", given=given, remedy=install("endpoint"))


class Endpoint:
    """A language model that is sent one request at a time, or several beside each other; to be closed, or used `with`.

    Attributes:
        address: its address, model and key.
        replies: its replies, on disk.
        budget: calls and tokens that are left.
    """

    def __init__(self, address: Address, replies: Replies, budget: Budget, *, timeout: float = 120, parallel: int = 4):
        require_client()
        self.address = address
        self.replies = replies
        self.budget = budget
        self._timeout = timeout  # seconds for a whole reply
        self._parallel = parallel
        try:
            self._client = openai.OpenAI(
                base_url=address.base_url,
                api_key=address.key or "none",  # the client needs one; without a key no header is sent
                timeout=timeout,
                max_retries=0,
                http_client=openai.DefaultHttpxClient(
                    timeout=timeout, follow_redirects=False, event_hooks={"response": [self._check_status]}
                ),
            )
        except (ImportError, OSError, ValueError, httpx2.InvalidURL) as error:  # a proxy or a certificate file
            raise UserError(
                "no connection can be made with the proxies and certificates of the environment",
                given=f"{_set(*PROXIES, *CERTIFICATES) or 'no variable set'}: {type(error).__name__}",
                allowed="proxies such as http://127.0.0.1:3128, https:// too (socks5:// with the package socksio); "
                "certificates in a PEM file",
                remedy="mend the variable; without a proxy: unset it, or name the endpoint's host in NO_PROXY",
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ask(self, request: Request) -> Reply:
        """The reply to a request, from disk where there is one.

        Raises:
            BudgetError: the request would go beyond the budget.
            UserError: the endpoint refuses the request, or does not answer.
        """
        return self.ask_all([request], silent)[0]

    def ask_all(self, requests: Sequence[Request], progress: Progress) -> list[Reply]:
        """The replies in order. If one fails or the user interrupts, requests on their way are still waited for."""
        stopped = threading.Event()
        with ThreadPoolExecutor(self._parallel) as pool:
            futures = [pool.submit(self._answer, request, stopped) for request in requests]
            try:
                for done, future in enumerate(as_completed(futures), start=1):
                    future.result()
                    progress(done, len(futures))
            except BaseException:
                stopped.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return [future.result() for future in futures]

    def _answer(self, request: Request, stopped: threading.Event) -> Reply:
        body = request.body(self.address.model)
        key = self.replies.key(self.address.base_url, body)
        if stored := self.replies.get(key):
            return stored
        content, attempts = self._attempt(body, request.tokens, stopped)
        reply = _read(content, attempts, request)
        self.budget.settle(request.tokens, reply.prompt_tokens + reply.reply_tokens)
        self.replies.put(key, body, reply)
        return reply

    def _attempt(self, body: dict[str, Any], tokens: int, stopped: threading.Event) -> tuple[bytes, int]:
        """The body of the response, and the number of attempts it took."""
        attempt = 1
        while True:
            try:
                return self._send(body, tokens), attempt
            except _BusyError as busy:
                wait = min(FIRST_WAIT * 2 ** (attempt - 1), LONGEST_WAIT) if busy.seconds is None else busy.seconds
                if attempt == ATTEMPTS or stopped.wait(wait):
                    given = f"{busy} ({attempt} attempts at {self.address.base_url})"
                    raise UserError("the language model does not answer", given=given, remedy=AGAIN) from busy
            attempt += 1

    def _send(self, body: dict[str, Any], tokens: int) -> bytes:
        """One attempt; the body of the response. One that may have been paid for stays counted.

        Raises:
            BudgetError: it would go beyond the budget.
            UserError: the endpoint refuses the request.
            _BusyError: another attempt may succeed.
        """
        self.budget.take(tokens)
        try:
            return self._post(body)
        except (UserError, _BusyError):
            self.budget.settle(tokens, 0)
            raise
        except (openai.APIConnectionError, httpx2.RequestError) as error:
            reason = error.__cause__ or error
            if not isinstance(reason, httpx2.ConnectError):
                raise _BusyError(f"{type(reason).__name__}: {reason}") from error
            self.budget.settle(tokens, 0)
            by = f" (proxies and certificates: {variables})" if (variables := _set(*PROXIES, *CERTIFICATES)) else ""
            raise _BusyError(f"no connection: {reason}{by}") from error
        except (httpx2.InvalidURL, UnicodeError) as error:
            self.budget.settle(tokens, 0)
            raise UserError("the endpoint's address cannot be used", given=self.address.base_url) from error

    def _post(self, body: dict[str, Any]) -> bytes:
        """The body of a response, as far as it is read: one that drips or never ends is cut off."""
        end = time.monotonic() + self._timeout
        headers = {} if self.address.key else {"Authorization": openai.Omit()}
        create = self._client.chat.completions.with_streaming_response.create
        with create(**body, extra_headers=headers) as response:
            content, in_time = _read_bytes(response.iter_bytes(), LARGEST_REPLY, end)
        if not in_time:
            raise httpx2.ReadTimeout(f"no whole reply in {self._timeout:g} s")
        return content

    def _check_status(self, response: httpx2.Response) -> None:
        """Refuse a response by its status, before the client reads its body without a bound.

        Raises:
            UserError: the endpoint refuses the request.
            _BusyError: another attempt may succeed; the body is not read.
        """
        status = response.status_code
        if response.is_success:
            return
        if status in (408, 409, 425, 429) or status >= 500:
            raise _BusyError(f"status {status}", _retry_after(response.headers.get("retry-after")))
        text = self.address.hide(self._refusal(response).decode("utf-8", "replace"))[:LARGEST_REFUSAL]
        allowed = f"the chat completions of an OpenAI-compatible server that has the model {self.address.model!r}"
        raise UserError("the endpoint refuses the request", given=f"status {status}: {text!r}", allowed=allowed)

    def _refusal(self, response: httpx2.Response) -> bytes:
        """The start of the body of a refusal; an empty one where the body breaks off: the status is the answer."""
        try:
            end = time.monotonic() + self._timeout
            return _read_bytes(response.iter_bytes(), LARGEST_REFUSAL + len(self.address.key), end)[0]
        except httpx2.RequestError:
            return b""


def _set(*names: str) -> str:
    """Names of the variables of the environment that are set; not their values, for a proxy may hold a password."""
    return ", ".join(each for name in names for each in (name, name.lower()) if os.environ.get(each))


def _read_bytes(parts: Iterator[bytes], most: int, end: float) -> tuple[bytes, bool]:
    """The bytes of a body until there are more than `most`, and false if the time `end` came first."""
    content = b""
    for chunk in parts:
        content += chunk
        if len(content) > most:
            break
        if time.monotonic() > end:
            return content, False
    return content, True


def _retry_after(header: str | None) -> float | None:
    """Seconds of a Retry-After header, a number or a date; None where it has neither.

    Raises:
        UserError: more than is waited for.
    """
    if header is None:
        return None
    try:
        seconds = float(header) if header.replace(".", "", 1).isdecimal() else _until(parsedate_to_datetime(header))
    except ValueError:
        return None
    if seconds > LONGEST_WAIT:
        given, allowed = f"{seconds:,.0f} s (Retry-After)", f"{LONGEST_WAIT:.0f} s are waited for"
        raise UserError("the endpoint asks to wait for long", given=given, allowed=allowed, remedy=f"later, {AGAIN}")
    return max(0.0, seconds)


def _until(when: datetime) -> float:
    return ((when if when.tzinfo else when.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds()


def _read(content: bytes, attempts: int, request: Request) -> Reply:
    """The reply in a response body. A body that is no chat completion is a reply without text, with the problem."""
    try:
        answer = json.loads(content) if len(content) <= LARGEST_REPLY else None
    except (ValueError, RecursionError):
        answer = None
    match answer:
        case {"choices": [{"message": {"content": str(written)}}, *_]}:
            text, problem = written.encode("utf-8", "replace").decode(), None
        case None:
            text, problem = None, f"no JSON of at most {LARGEST_REPLY:,} bytes"
        case _:
            text, problem = None, "no chat completion"
    match answer:
        case {"usage": {"prompt_tokens": int(prompt), "completion_tokens": int(reply)}} if min(prompt, reply) >= 0:
            return Reply(text, problem, attempts, prompt, reply, False)
    prompt = request.tokens - request.reply_tokens
    return Reply(text, problem, attempts, prompt, estimate_tokens(text or ""), True)
