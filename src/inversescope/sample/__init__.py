"""Draw inputs for the targets, and read every draw again: its true distance, its weight."""
