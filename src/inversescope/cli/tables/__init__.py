"""Tables for the terminal. They read records, and compute nothing."""
