"""Claims about activations, checked against verified draws and their controls."""

from inversescope.check.check import Checking, check
from inversescope.check.checked import Checked, CheckedClaim
from inversescope.check.claims import Claim, read_claims
from inversescope.check.judging import LanguageModel

__all__ = ["Checked", "CheckedClaim", "Checking", "Claim", "LanguageModel", "check", "read_claims"]
