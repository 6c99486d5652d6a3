"""Old trees of models: read in place, migrated into a store, and exported in the old form for programs that need it."""
