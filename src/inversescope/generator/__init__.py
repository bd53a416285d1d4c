"""The generator q(x | ẑ, s, h): one encoder for all sites, a conditioning, a decoder, a neighbour LM."""

from inversescope.generator.generator import Generator
from inversescope.generator.input_pca import InputPCA
from inversescope.generator.vocabulary import IGNORED, Vocabulary

__all__ = ["IGNORED", "Generator", "InputPCA", "Vocabulary"]
