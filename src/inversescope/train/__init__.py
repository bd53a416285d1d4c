"""Training of the generator: next-token loss on noised activations."""
