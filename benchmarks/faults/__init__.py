"""Parts of `reliability.py`, each a way in which a run or a command may be disturbed."""
