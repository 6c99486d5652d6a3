"""Old trees of models: read in place, brought into a store, and written again for those who still need the old form."""
