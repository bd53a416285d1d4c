"""Asking the endpoint: time-outs, repeated attempts, a bound on what is read, and every reply kept."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self

from inversescope.errors import UserError
from inversescope.propose.endpoint.address import Address
from inversescope.propose.endpoint.budget import Budget, estimate_tokens
from inversescope.propose.endpoint.replies import Replies, Reply, Request

try:
    import httpx2
    import tenacity
except ImportError as error:
    problem, remedy = "asking a language model needs httpx2 and tenacity", 'pip install "inversescope[endpoint]"'
    raise UserError(problem, given=str(error), remedy=remedy) from error

ATTEMPTS = 5  # of one request
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds between them: doubling, or what the server asks for up to the longest
LARGEST_REPLY = 1_000_000  # bytes of a response body that are read
AGAIN = "start the same command again: it goes on from here, and what was answered is not asked again"


class _BusyError(Exception):
    """The endpoint did not answer now; it may later, after the seconds it asked for."""

    def __init__(self, why: str, seconds: float | None = None):
        super().__init__(why)
        self.seconds = seconds


class Endpoint:
    """A language model that is asked one request at a time, or several beside each other; to be closed, or used `with`.

    Attributes:
        address: where it is.
        replies: what it has answered, on disk.
        budget: what may still be sent.
    """

    def __init__(self, address: Address, replies: Replies, budget: Budget, *, timeout: float = 120, parallel: int = 4):
        self.address = address
        self.replies = replies
        self.budget = budget
        self._timeout = timeout  # seconds for a whole reply
        self._parallel = parallel
        headers = {"Authorization": f"Bearer {address.key}"} if address.key else {}
        self._client = httpx2.Client(headers=headers, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ask(self, request: Request) -> Reply:
        """The answer to a request, from disk where it was given before.

        Raises:
            BudgetError: asking would go beyond the budget.
            UserError: the endpoint refuses the request, or does not answer.
        """
        return self.ask_all([request], lambda done, total: None)[0]

    def ask_all(self, requests: Sequence[Request], progress: Callable[[int, int], None]) -> list[Reply]:
        """The answers in order. Where one fails or the user interrupts, those on their way are still waited for."""
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
        if known := self.replies.get(key):
            return known
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_BusyError),
            stop=tenacity.stop_any(tenacity.stop_after_attempt(ATTEMPTS), tenacity.stop_when_event_set(stopped)),
            wait=_wait,
            sleep=tenacity.sleep_using_event(stopped),
            reraise=True,
        )
        try:
            content = retrying(self._send, body, request.tokens)
        except _BusyError as busy:
            attempts = retrying.statistics["attempt_number"]
            given = f"{busy} ({attempts} attempts at {self.address.base_url})"
            raise UserError("the language model does not answer", given=given, remedy=AGAIN) from busy
        reply = _read(content, retrying.statistics["attempt_number"], request)
        self.budget.settle(request.tokens, reply.prompt_tokens + reply.reply_tokens)
        self.replies.put(key, body, reply)
        return reply

    def _send(self, body: dict[str, Any], tokens: int) -> bytes:
        """One attempt; the body of the response. One that may have been paid for stays counted as if it had been."""
        self.budget.take(tokens)
        try:
            status, headers, content = self._post(body)
        except httpx2.ConnectError as error:
            self.budget.settle(tokens, 0)
            raise _BusyError(f"no connection: {error}") from error
        except httpx2.TransportError as error:
            raise _BusyError(f"{type(error).__name__}: {error}") from error
        if status == 200:
            return content
        self.budget.settle(tokens, 0)
        if status in (408, 409, 425, 429) or status >= 500:
            raise _BusyError(f"status {status}", _asked_for(headers.get("retry-after")))
        said = self.address.hide(content[:300].decode("utf-8", "replace"))
        allowed = f"the chat completions of an OpenAI-compatible server that has the model {self.address.model!r}"
        raise UserError("the endpoint refuses the request", given=f"status {status}: {said!r}", allowed=allowed)

    def _post(self, body: dict[str, Any]) -> tuple[int, httpx2.Headers, bytes]:
        """Status, headers, and what of the body is read: one that drips or never ends is cut off."""
        end, content = time.monotonic() + self._timeout, b""
        with self._client.stream("POST", f"{self.address.base_url}/chat/completions", json=body) as response:
            for part in response.iter_bytes():
                content += part
                if len(content) > LARGEST_REPLY:
                    break
                if time.monotonic() > end:
                    raise httpx2.ReadTimeout(f"no whole reply in {self._timeout:g} s")
            return response.status_code, response.headers, content


def _wait(state: tenacity.RetryCallState) -> float:
    """Seconds until the next attempt: what the server asked for, else doubling from the first."""
    busy = state.outcome and state.outcome.exception()
    if isinstance(busy, _BusyError) and busy.seconds is not None:
        return busy.seconds
    return min(FIRST_WAIT * 2 ** (state.attempt_number - 1), LONGEST_WAIT)


def _asked_for(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, given in seconds or as a date; None where it says nothing.

    Raises:
        UserError: it asks for more than is waited for.
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
    """The reply in a response body. What is no chat completion is a reply without text, and says why."""
    try:
        answer = json.loads(content) if len(content) <= LARGEST_REPLY else None
    except (ValueError, RecursionError):
        answer = None
    match answer:
        case {"choices": [{"message": {"content": str(said)}}, *_]}:
            text, problem = said.encode("utf-8", "replace").decode(), None
        case None:
            text, problem = None, f"no JSON of at most {LARGEST_REPLY:,} bytes"
        case _:
            text, problem = None, "no chat completion"
    match answer:
        case {"usage": {"prompt_tokens": int(asked), "completion_tokens": int(written)}} if min(asked, written) >= 0:
            return Reply(text, problem, attempts, asked, written, False)
    asked = request.tokens - request.reply_tokens
    return Reply(text, problem, attempts, asked, estimate_tokens(text or ""), True)
