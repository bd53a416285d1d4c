"""Descriptions by natural language autoencoders (NLA), as Neuronpedia's `/api/nla/explain` gives them.

A saved answer: `results`, each with `position` in the whole token sequence, `token` and `description`; fields of the
reconstruction (`cosine_similarity`, `mse`, `l2_norm`) stand beside them. The request's `text` or `messages`, and its
`nlaSourceId`, which ends in the layer (`kitft-l41`), must stand in the file too. Fields as observed in
github.com/duclongvu99/neuronpedia-nla-toolkit (API_NOTES.md, commit 5df8739) and docs.neuronpedia.org.
"""

from __future__ import annotations

import re

from inversescope.check.readouts.readout import Imported, Rows, Where

NAME = "NLA"
_LAYER = re.compile(r"-l(\d+)$")


def recognises(rows: Rows) -> bool:
    """True for its answers."""
    results = rows[0].get("results")
    return isinstance(results, list) and bool(results) and {"position", "description"} <= set(results[0])


def read(rows: Rows, where: Where, found: Imported) -> None:
    """Add the description at each position."""
    for row in rows:
        text, layer = row.get("text") or row.get("messages"), _LAYER.search(str(row.get("nlaSourceId", "")))
        if text is None or layer is None:
            missing = "text and messages" if text is None else "nlaSourceId that ends in a layer"
            found.unused[f"an answer without {missing}"] += len(row["results"])
            continue
        for result in row["results"]:
            if "cosine_similarity" in result:
                found.unused["a quality of reconstruction, which no verdict is made of"] += 1
            found.add(
                result.get("description"), where, f"resid_post.{layer[1]}", text=text, position=result["position"]
            )
