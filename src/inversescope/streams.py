"""The random streams of a run, by name: each use of random numbers follows from the run's seed and its own stream.

Streams with the same numbers draw the same random numbers. They decide different things of different sizes, and stay as
they are so that results stay: `ACCURACY` and `PROPOSAL_SPLIT`; `INPUTS` and `JUDGED`; `DONORS` and `JUDGE_REPEATS`
(which has no target); `HALVES`, `PROPOSAL_SHUFFLES` and `EXPLANATION_DONORS`; `QUALITY` and `ARENA_RESAMPLES`;
`TWO_SAMPLE` and `ARENA_SIGNS`. `TARGETS` has the number of targets, which may be that of another stream.
"""

from __future__ import annotations

from enum import Enum

import numpy as np


class Stream(Enum):
    """A stream of NumPy's random numbers: its numbers behind the seed, and what it decides."""

    ACCURACY = (0,), "the prompts that measure the subject's accuracy"
    INPUTS = (1,), "the inputs drawn from the prior; of an extended run with the number of inputs before"
    DONORS = (4,), "the random inputs whose activations are put in place of a target's; with the target"
    HALVES = (5,), "the targets on which hypotheses are found, and those that confirm them"
    INTERVENTION_SAMPLES = (6,), "the order of other targets' samples in RAVEL's test; with the target"
    INTERVENTION_INPUTS = (7,), "the random inputs of RAVEL's test; with the target"
    STAND_INS = (11,), "the inputs of the pool that stand in for targets in calibration and for the bandwidth range"
    DIVERGENCE = (13,), "the inputs at which probabilities are compared"
    TRAINING_INPUTS = (17,), "the inputs of the prior that the generator is trained on beside those that were read"
    EDITS = (19,), "the edits of the targets' source inputs"
    QUALITY = (23,), "the samples that are compared with the reference's"
    NEAREST = (37,), "the inputs of the pool whose nearest other input is measured"
    READ_AGAIN = (31,), "the inputs of the pool that are read again in another batch"
    TWO_SAMPLE = (29,), "the swaps of a two-sample test"
    SHUFFLED = (53,), "the order in which targets get each other's samples, as a control"
    PRIOR_DRAWS = (59,), "the inputs of the prior that draws without a condition are compared with"
    STORED = (41,), "the order in which training inputs become stored positions of the step `text`"
    ROWS = (), "the tests of one row of a table; with the row's name"
    TARGETS = (), "resamples and shuffles of targets; with their number"
    PERMUTATIONS = (), "the permutations of the two-sample test of the prior"
    RESAMPLE = (), "which samples of an inverted activation are picked in proportion to their weights"
    # A language model's proposals
    PROPOSAL_SPLIT = (0,), "the targets that the language model is shown, and those that are held out"
    JUDGED = (1,), "the inputs of the prior and the held-out samples that are judged"
    PROPOSAL_EXAMPLES = (2,), "the inputs of the prior that the language model is shown"
    JUDGE_PROBES = (3,), "the questions whose answer is known"
    JUDGE_REPEATS = (4,), "the texts that are judged again"
    JUDGE_ORDER = (), "the order in which texts are judged; with the kind of question"
    PROPOSAL_SHUFFLES = (5,), "the shuffles that test a proposed hypothesis"
    # Explanations and the arena
    ENDINGS = (47,), "the new inputs of the prior among which those with a source's ending are found"
    EXPLANATION_DONORS = (5,), "the random inputs whose activations are put in place of an explained one"
    GROUPS = (43,), "the normal clouds and shuffles behind the groups of an explained activation's draws"
    ARENA_RESAMPLES = (23,), "the resamples of targets behind intervals of the arena"
    ARENA_SIGNS = (29,), "the signs of differences between two methods"

    def rng(self, seed: int, *address: int) -> np.random.Generator:
        """The stream's random numbers in a run of this seed; `address` separates its uses, such as targets."""
        numbers, _ = self.value
        return np.random.default_rng([seed, *numbers, *address])


class TorchStream(Enum):
    """A stream of torch's random numbers: its offset, and what it decides. Offset None: the seed itself, so that these
    begin alike.
    """

    TRAINING = 0, "the training pairs of each step, of the generator and of the arena's probes; with the step"
    SAMPLES = 500_000_007, "the draws for every target; with the place of the site"
    WEIGHTS = None, "the generator's initial weights"
    EXPLAINED = None, "the noise under which a site's neighbours are measured before training"
    CALIBRATION = None, "the noise and the draws of calibration"
    INVERSION = None, "the draws for one activation"
    TEXT = 700_000_001, "searches and draws of natural text; with the place of the target and the site"
    ARENA = None, "everything that the arena's methods draw and train, but for the steps of training"

    def seed(self, seed: int, address: int = 0) -> int:
        """Seed of torch in a run of this seed; `address` separates the stream's uses, such as steps."""
        offset, _ = self.value
        return seed if offset is None else seed * 1_000_003 + offset + address
