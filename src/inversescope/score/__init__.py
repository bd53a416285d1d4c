"""Score what the draws share: features, controls, diagnostics, mined hypotheses."""
