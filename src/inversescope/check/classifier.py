"""A classifier over sentence embeddings as the judge of one claim, where there is no language model.

Logistic regression (scikit-learn) on static embeddings (model2vec; extra `linguistics`), learned from the claim's own
examples. Its error is that of cross-validation: each example is labelled by a classifier that has not seen it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from inversescope.check.judging import Judgement
from inversescope.features.annotators import TOPICS
from inversescope.features.annotators.topics import embed
from inversescope.stats.misclassified import Accuracy

FEWEST = 8  # examples of either kind: fewer cannot show that it is better than a coin
FOLDS = 8  # of the cross-validation


def classify(examples: Mapping[str, Sequence[str]], texts: Sequence[str]) -> Judgement:
    """Labels of texts by a classifier that has learned from examples; none where it is no better than chance.

    Raises:
        UserError: the embedding model cannot be loaded.
    """
    if (remedy := TOPICS.missing()) is not None:
        return Judgement(problem=f"a classifier needs sentence embeddings, which are not installed: {remedy}")
    known = {text: label for label in ("yes", "no") for text in dict.fromkeys(examples[label])}
    counts = [sum(label == each for label in known.values()) for each in ("yes", "no")]
    if min(counts) < FEWEST:
        return Judgement(problem=f"{counts[0]} examples of yes and {counts[1]} of no: {FEWEST} of each are needed")
    accuracy, model = _learned(known)
    if not accuracy.above_chance:
        shown = f"right in {accuracy.sensitivity:.2f} of yes and {accuracy.specificity:.2f} of no"
        return Judgement(accuracy=accuracy, problem=f"the classifier is no better than chance: {shown}")
    vectors = embed(texts)
    answers = model.predict(vectors)
    labels = {
        text: str(answer) if vector.any() else None
        for text, answer, vector in zip(texts, answers, vectors, strict=True)
    }
    return Judgement(labels, accuracy)


def _learned(known: Mapping[str, str]) -> tuple[Accuracy, Any]:
    """The error on examples that were left out, and a classifier that has seen all."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    vectors, labels = embed(list(known)), np.array(list(known.values()))
    model = LogisticRegression(class_weight="balanced", C=10.0, max_iter=1000)
    found = cross_val_predict(model, vectors, labels, cv=StratifiedKFold(FOLDS, shuffle=True, random_state=0))
    yes, no = (np.asarray(found[labels == label] == label) for label in ("yes", "no"))
    return Accuracy(float(yes.mean()), float(no.mean()), len(yes), len(no)), model.fit(vectors, labels)
