"""Step `text`: targets of a run inverted into natural text, beside stored inputs, floors and ceilings."""
