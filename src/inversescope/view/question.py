"""Questions of the page: one activation, and the answer that is wanted. Checked before anything is loaded."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from inversescope.errors import UserError

LONGEST = 20_000  # characters of a text
MOST = 1000  # draws


class Ask(BaseModel):
    """A text of a run, or of natural text.

    Attributes:
        run: id of a run; None: natural text, with `model`.
        vector: in place of the text: float32 numbers, little-endian, in base64.
        position: index of the token that is read; None: the last.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    run: str | None = None
    model: str | None = None
    text: str | None = None
    vector: str | None = None
    position: int | None = None


class Question(Ask):
    """An activation of a site, how near the inputs are to be, and how many.

    Attributes:
        resolution, bandwidth, bits: one of them, or none: the run's default, or six bits.
        tokens, seconds: budget; the first to be used up ends the reading.
    """

    site: str
    resolution: float | None = Field(None, gt=0)
    bandwidth: float | None = Field(None, gt=0)
    bits: float | None = Field(None, gt=0)
    n: int = Field(48, ge=2, le=MOST)
    seed: int = Field(0, ge=0, le=2**31 - 1)
    tokens: int | None = Field(None, ge=1)
    seconds: float | None = Field(None, gt=0)
    length: int | None = Field(None, ge=1)


class Level(BaseModel):
    """Bandwidth at which draws that were made are weighed anew."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    bandwidth: float = Field(gt=0)


def source(asked: Ask) -> dict[str, Any]:
    """The text or the vector, as `Inverter.invert` takes it.

    Raises:
        UserError: there is neither or both, or it is too long or unreadable.
    """
    if (asked.text is None) == (asked.vector is None):
        raise UserError("a text or a vector is inverted", given="neither or both", allowed="one of them")
    if asked.vector is not None:
        return {"vector": numbers(asked.vector)}
    text = asked.text or ""
    if len(text) > LONGEST:
        given = f"{len(text):,} characters"
        raise UserError("the text is too long", given=given, allowed=f"up to {LONGEST:,} characters")
    return {"text": text}


def numbers(vector: str) -> np.ndarray:
    """The numbers of a vector as it stands in an address.

    Raises:
        UserError: it is not one.
    """
    try:
        return np.frombuffer(base64.b64decode(vector, validate=True), "<f4").copy()
    except (binascii.Error, ValueError) as error:
        raise UserError("the vector in the address is damaged", given=str(error)) from error


def written(vector: np.ndarray) -> str:
    """A vector as it stands in an address."""
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()
