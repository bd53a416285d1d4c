"""Statistics on arrays: intervals, tests, weights. No files, no torch."""
