"""A language model behind an OpenAI-compatible address: requests, their cost, replies."""

from inversescope.propose.endpoint.address import Address
from inversescope.propose.endpoint.budget import Budget, BudgetError, estimate_tokens
from inversescope.propose.endpoint.client import Endpoint, require_client
from inversescope.propose.endpoint.replies import Replies, Reply, Request

__all__ = [
    "Address",
    "Budget",
    "BudgetError",
    "Endpoint",
    "Replies",
    "Reply",
    "Request",
    "estimate_tokens",
    "require_client",
]
