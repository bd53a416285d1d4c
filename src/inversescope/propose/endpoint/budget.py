"""Budget of calls and tokens, counted before a request leaves."""

from __future__ import annotations

import threading

BYTES_A_TOKEN = 3  # English has four and more, so an estimate is rather too high; other scripts have fewer


class BudgetError(Exception):
    """The next request would go beyond what was allowed; it was not sent."""


class Budget:
    """At most `calls` requests, repeated ones counted, and at most `tokens` in and out. Safe between threads."""

    def __init__(self, calls: int, tokens: int):
        self.calls = calls
        self.tokens = tokens
        self.sent = 0
        self.spent = 0
        self._lock = threading.Lock()

    def take(self, tokens: int) -> None:
        """Set aside a request and the most tokens that it may cost.

        Raises:
            BudgetError: that is more than is left.
        """
        with self._lock:
            if self.sent + 1 > self.calls:
                raise BudgetError(f"{self.calls} calls (--max-calls) are sent")
            if self.spent + tokens > self.tokens:
                raise BudgetError(f"{self.spent:,} of {self.tokens:,} tokens (--max-tokens) are spent")
            self.sent += 1
            self.spent += tokens

    def settle(self, taken: int, used: int) -> None:
        """Count what a request did cost in place of what was set aside for it."""
        with self._lock:
            self.spent += used - taken


def estimate_tokens(text: str) -> int:
    """About how many tokens a text has, rather too many, without the model's tokenizer."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_A_TOKEN)
