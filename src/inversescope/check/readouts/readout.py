"""Common parts of the readers of readout files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inversescope.check.claims import LONGEST, Claim
from inversescope.sites import Site

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Where:
    """A run's part in a readout file.

    Attributes:
        sites: that its generator serves.
        prefix: number of tokens that start every input; other tools count them as positions.
        texts: file with the texts of a readout file that names them only.
        vectors: file or folder with the vectors of a readout file that names their rows only.
    """

    sites: Sequence[Site]
    prefix: int = 0
    texts: Path | None = None
    vectors: Path | None = None


@dataclass
class Imported:
    """Claims of a readout file.

    Attributes:
        tool: that wrote it.
        claims: equal ones once.
        unused: parts that cannot be checked, each with its number.
    """

    tool: str
    claims: list[Claim] = field(default_factory=list)
    unused: Counter[str] = field(default_factory=Counter)
    _seen: set[tuple[str, str]] = field(default_factory=set)

    def add(self, words: object, where: Where, site: str | None, **about: Any) -> None:
        """Take a claim, or count the reason why it cannot be checked. A position counts the prefix."""
        text = words.strip() if isinstance(words, str) else ""
        position = about.get("position")
        if not text:
            self.unused["an empty readout"] += 1
        elif len(text) > LONGEST:
            self.unused[f"a readout of more than {LONGEST} characters"] += 1
        elif site is None or site not in map(str, where.sites):
            self.unused[f"the run's generator does not serve {site or 'this kind of site'}"] += 1
        elif position is not None and 0 <= position < where.prefix:
            self.unused["a position within the tokens that start every input"] += 1
        else:
            shifted = {} if position is None else {"position": position - where.prefix if position >= 0 else position}
            claim = Claim(text, site, **{**about, **shifted})
            if (claim.about, claim.claim) in self._seen:
                self.unused["a readout that stands twice"] += 1
            else:
                self._seen.add((claim.about, claim.claim))
                self.claims.append(claim)
