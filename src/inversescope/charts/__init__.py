"""Charts as Vega-Lite specifications, made from rows of records; no torch."""
