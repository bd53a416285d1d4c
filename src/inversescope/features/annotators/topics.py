"""Topic of a text, by static sentence embeddings (model2vec; extra `linguistics`): clusters, and nearest topics.

The model is `minishlab/potion-base-8M` as far as it was downloaded before, or what `INVERSESCOPE_EMBEDDINGS` names: a
folder, or another model2vec model of the Hugging Face hub. Dimensions: `texts`, `d` of the embedding.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from inversescope import files
from inversescope.errors import UserError
from inversescope.features.annotators.annotator import INSTALL, installed, version
from inversescope.features.word_splitting import split

VARIABLE, DEFAULT = "INVERSESCOPE_EMBEDDINGS", "minishlab/potion-base-8M"
WEIGHTS = "model.safetensors"
CLUSTERS = range(2, 11)  # how many are tried
FITTED = 1000  # texts at most that clusters are fitted to
FEWEST = 10  # texts a cluster, on average, below which so many clusters are not tried
STARTS = 4  # of k-means; the best of them counts
NAMING = 3  # words that name a cluster
AHEAD = 0.05  # cosine by which the nearest topic must be nearer than the next, to be decided


class Topic:
    """An annotator: a text's embedding, and with it what the text is about."""

    name = "topic"

    def missing(self) -> str | None:
        """Installation commands; the model is fetched apart from the library."""
        if not installed("model2vec", "sklearn"):
            return INSTALL
        if _folder(_named()) is None:
            return f"hf download {_named()} (or a folder, named by {VARIABLE})"
        return None

    def made_by(self) -> str:
        """The libraries with their versions, and the model with the hash of its weights."""
        folder = _folder(_named())
        assert folder is not None, "called while it is missing"
        made_by = f"{_named()} {files.sha256(folder / WEIGHTS)[:16]}"
        return f"{version('model2vec')}, {version('scikit-learn')}, {made_by}"

    def learn(self, texts: Sequence[str]) -> None:
        """Embed many texts at once."""
        _embedder(_named()).learn(texts)


class _Embedder:
    """A model, and the unit vectors of the texts that it has read; 0 where it knows nothing of a text."""

    def __init__(self, name: str):
        from model2vec import StaticModel

        folder = _folder(name)
        if folder is None:
            raise UserError("there is no such embedding model", given=name, remedy=f"hf download {name}")
        try:
            self._model = StaticModel.from_pretrained(folder)
        except (OSError, ValueError, KeyError) as error:
            raise UserError("the embedding model cannot be loaded", given=f"{name}: {error!r}") from error
        self._known: dict[str, Float[ndarray, " d"]] = {}

    def learn(self, texts: Sequence[str]) -> None:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            vectors = self._model.encode(new, use_multiprocessing=False).astype(np.float32)
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            self._known |= zip(new, vectors / np.where(lengths > 0, lengths, 1), strict=True)

    def vectors(self, texts: Sequence[str]) -> Float[ndarray, "texts d"]:
        self.learn(texts)
        return np.array([self._known[text] for text in texts])


@lru_cache(maxsize=1)
def _embedder(name: str) -> _Embedder:
    return _Embedder(name)


def _named() -> str:
    return os.environ.get(VARIABLE) or DEFAULT


@lru_cache
def _folder(name: str) -> Path | None:
    """Folder of the model on this machine; None if it is not there."""
    if Path(name, WEIGHTS).exists():
        return Path(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return folder if (folder / WEIGHTS).exists() else None


def embed(texts: Sequence[str]) -> Float[ndarray, "texts d"]:
    """A unit vector for each text; 0 where the model knows nothing of it.

    Raises:
        UserError: the model cannot be loaded.
    """
    return _embedder(_named()).vectors(texts)


def about(text: str, *topics: str) -> str | None:
    """The topic nearest to the text in meaning (cosine); undecided where another is as near but for `AHEAD`, or the
    model knows nothing of the text.
    """
    near = embed(topics) @ embed([text])[0]
    first, second = np.argsort(-near, kind="stable")[:2]
    return topics[first] if near[first] - near[second] >= AHEAD else None


@dataclass(frozen=True)
class Clusters:
    """Topics of the texts that they were fitted to: `centres` of k-means on unit vectors, and typical words of each.

    `silhouette` is the mean over the fitted texts: from −1 to 1, and near 0 where clusters are of the hand's making.
    """

    centres: Float[ndarray, "k d"]
    names: tuple[str, ...]
    silhouette: float

    def label(self, text: str) -> str | None:
        """The name of the nearest cluster; undecided where the model knows nothing of the text."""
        vector = embed([text])[0]
        if not vector.any():
            return None
        return self.names[int(((self.centres - vector) ** 2).sum(1).argmin())]


def clusters(texts: Sequence[str]) -> Clusters | None:
    """The topics of some texts: k-means, as many clusters as give the largest silhouette; None where texts are too few
    to tell.

    Raises:
        UserError: the model cannot be loaded.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    _embedder(_named()).learn(texts)
    embedded = [text for text in dict.fromkeys(texts) if embed([text]).any()]
    chosen = np.random.default_rng(0).permutation(len(embedded))[:FITTED]
    vectors = embed([embedded[index] for index in chosen])
    different = len(np.unique(vectors, axis=0))
    best: tuple[float, Float[ndarray, "k d"]] | None = None
    for k in CLUSTERS:
        if k * FEWEST > len(vectors) or k >= different:
            break
        fitted = KMeans(k, n_init=STARTS, random_state=0).fit(vectors)  # pyright: ignore[reportArgumentType] - untyped
        silhouette = float(silhouette_score(vectors, fitted.labels_))
        if best is None or silhouette > best[0]:
            best = silhouette, fitted.cluster_centers_
    if best is None:
        return None
    silhouette, centres = best
    return Clusters(centres, _names(embedded, centres), silhouette)


def _names(texts: Sequence[str], centres: Float[ndarray, "k d"]) -> tuple[str, ...]:
    """For each cluster the words that most more of its texts have than of the others; two alike are numbered."""
    vectors = embed(texts)
    nearest = (vectors @ centres.T * 2 - (centres**2).sum(1)).argmax(1)
    holding = [Counter(_words(texts, np.flatnonzero(nearest == k))) for k in range(len(centres))]
    sizes = np.bincount(nearest, minlength=len(centres))
    everywhere = sum(holding, Counter[str]())
    names: list[str] = []
    for own, size in zip(holding, sizes.tolist(), strict=True):
        others = max(1, len(texts) - size)
        gain = {word: count / max(1, size) - (everywhere[word] - count) / others for word, count in own.items()}
        name = " ".join(sorted(gain, key=lambda word: (-gain[word], word))[:NAMING])
        names.append(name if name not in names else f"{name} ({len(names) + 1})")
    return tuple(names)


def _words(texts: Sequence[str], places: Int[ndarray, " places"]) -> list[str]:
    return [word for place in places for word in {token.lower() for token in split(texts[place])}]
