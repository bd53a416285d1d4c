"""The generator q(x | ẑ, s, h): an encoder for each site, a conditioning, a backbone."""

from inversescope.generator.generator import Generator
from inversescope.generator.input_pca import content
from inversescope.generator.vocabulary import IGNORED, Vocabulary

__all__ = ["IGNORED", "Generator", "Vocabulary", "content"]
