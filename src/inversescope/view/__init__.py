"""Live viewer of runs, and of natural text: `inversescope view`. FastAPI, extra `view`."""
