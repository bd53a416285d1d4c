"""`python -m inversescope` is the command line."""

from inversescope.cli import main

main()
