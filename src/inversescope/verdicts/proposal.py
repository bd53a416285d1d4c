"""Rule for a distance and a kernel for which the generator has no noise channel: its draws are proposals."""

from __future__ import annotations

from inversescope.stats.kernel import Kernel

NO_GENERATOR = "the run has no generator (generator.sites = []): the reference alone is scored"
CHANNELS = ("standardized", "euclidean")  # distances whose Gaussian kernel is that of a noise channel


def has_channel(distance: str, kernel: str) -> bool:
    """True where the generator has a noise channel of this distance and kernel: the posterior is its own."""
    return kernel == Kernel.GAUSSIAN and distance in CHANNELS


def proposal(distance: str, kernel: str) -> str | None:
    """Note on the generator where it has no such channel; None where it has."""
    if has_channel(distance, kernel):
        return None
    own = distance if distance in CHANNELS else CHANNELS[0]
    return (
        f"the generator has no noise channel for {distance} distance and {kernel} kernel: it draws for {own} distance "
        "and gaussian kernel, at the bandwidth that leaves as many inputs. The weights P k / q make its draws those of "
        "this run's posterior; without weights they are those of another"
    )
