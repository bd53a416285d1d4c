"""Test by patching whether the subject uses what a site encodes."""
