"""Inversion on natural text: the prior is the subject's own text, and nothing is trained."""
