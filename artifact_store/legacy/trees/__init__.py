"""Old trees of models: their layout, their file names, and their conversion into runs."""
