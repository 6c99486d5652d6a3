"""Very many runs in the catalog index."""
