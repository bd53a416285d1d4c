"""Neuronpedia's explanations of the features of sparse autoencoders, exported or as `/api/feature` gives them.

Export (docs.neuronpedia.org/api-and-data/exports): gzipped JSON lines in `explanations/`, each with `modelId`,
`layer` (the source, such as `20-gemmascope-res-16k`: layer, then the kind), `index` of the feature, and
`description`. The answer of `/api/feature/MODEL/SOURCE/INDEX` has a list `explanations` of the same. An explanation
is about a direction, the row `index` of the autoencoder's decoder, which stands in another file.
"""

from __future__ import annotations

import re
from typing import Any

from inversescope.check.readouts.readout import Imported, Rows, Where
from inversescope.errors import UserError

NAME = "Neuronpedia"
POINTS = {"res": "resid_post", "att": "attn_out", "mlp": "mlp_out"}
_SOURCE = re.compile(r"(\d+)-(?:.*-)?(res|att|mlp)(?:-.*)?")


def recognises(rows: Rows) -> bool:
    """True for explanations, and for features that have some."""
    return {"layer", "index"} <= set(rows[0]) and bool({"description", "explanations"} & set(rows[0]))


def read(rows: Rows, where: Where, found: Imported) -> None:
    """Add each description as a claim about a row of the decoder.

    Raises:
        UserError: the decoder is missing.
    """
    if where.vectors is None:
        problem = "Neuronpedia's explanations name the directions of an autoencoder only"
        raise UserError(problem, given="no autoencoder", remedy="--vectors FOLDER, or FILE:NAME of its decoder")
    for row in rows:
        for explanation in row.get("explanations") or [row]:
            vector = f"{where.vectors}:{row['index']}"
            found.add(explanation.get("description"), where, _site(row), vector=vector)


def _site(row: dict[str, Any]) -> str | None:
    """The site of a source; None for another kind, such as a transcoder."""
    source = _SOURCE.fullmatch(str(row["layer"]))
    return f"{POINTS[source[2]]}.{source[1]}" if source else None
