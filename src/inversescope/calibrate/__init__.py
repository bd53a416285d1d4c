"""Compare the generator with the truth, or with the reference where the truth is not known."""
