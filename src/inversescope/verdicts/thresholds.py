"""Thresholds of all verdicts, each with its meaning and where it comes from. Nothing else repeats them."""

# The generator, against the exact distribution or the reference.
KL_MEAN = 0.1  # nats: mean divergence from the exact distribution over a site's questions, up to which it is calibrated
KL_ANY = 0.5  # nats: divergence of any one question, up to which its site is calibrated
GAP = 0.05  # calibration gap of a feature's consistency up to which generator and reference agree
COPIED = 0.1  # share of training inputs among the draws beyond the posterior's, up to which a generator does not copy
GENERALISATION = 0.5  # nats: −ln q of unseen inputs over that of training inputs, up to which it generalises
TRUSTED = 30.0  # effective sample size from which a reference made of draws counts as the truth

# Activations.
ROUNDED = 1e-4  # δ that the rounding of float32 alone may make between two readings of one input
OUTSIDE = 0.01  # share of the prior's own inputs that are called outside of it

# Samples and their weights.
ACCEPTED = 0.1  # δ up to which a sample is accepted: InversionView's neighbourhood (arXiv 2405.17653)
FAIR_SHARE = 0.1  # share of the reference that is accepted, from which acceptance has a meaning at a bandwidth
NOISE_QUANTILE = 0.95  # of the distances between two readings of one input: the noise floor of a site
MEASURABLE = 4.0  # inputs of the pool that must remain at a resolution for its bandwidth to be found
FOUND = 0.6  # estimated normaliser, in parts of the source's own term, below which the draws missed the mass
COLLAPSED = 4.0  # effective sample size, by distinct inputs, that is enough at every resolution
CONCENTRATED = 0.5  # the same in parts of the posterior's own over the inputs that were drawn; less is enough then
OTHERS = 0.01  # share of the weight that inputs other than the source must have for a score among them
MOST = 0.5  # share of a target's draws that counts as most of them

# Chains over natural text.
CHAINS_AGREE = 1.1  # R̂ of the distance, and of the last tokens, up to which chains from different starts agree

# Weighted draws of natural text.
NATS = 1.0  # largest difference of ln Z between parts of the draws that should agree
CARRIED = 10.0  # effective number of inputs that must carry the bits; beside them others may have most of the weight
CONFIRMS = 10.0  # effective draws of a stratum that may confirm the ln Z of another: fewer agree by luck
MISSING = 0.1  # the source's own part of Z, if no draw is the source, from which the draws have missed mass

# Scores and tests.
SIGNIFICANT = 0.05  # q up to which a finding counts: share of false ones among those at least as sure
MARGIN = 0.05  # of a difference of shares: two sides are level where its whole interval lies within it
SMALLEST_Q = 0.001  # q below which its size is not printed
HALF = 0.5  # share of a feature's bits from which the samples agree on a label
DETERMINED = 0.75  # lower limit of the corrected score from which a site determines a feature

# Encoded and used.
ENCODED = 0.1  # corrected score from which a site encodes a feature
USED = 0.1  # necessity from which the subject uses it
MOVES = 0.01  # nats: divergence of the next token under a random input's activation, from which a site matters
MOVES_TIMES = 3.0  # the same, in multiples of the divergence under the site's own activation (rounding)
