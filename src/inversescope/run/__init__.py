"""The steps in order on one directory."""
