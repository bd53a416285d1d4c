"""Draw inputs from the prior, read them, and answer from the pool: posterior and reference."""
