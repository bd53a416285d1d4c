"""Disk and memory that a run needs, and whether this machine has them."""
