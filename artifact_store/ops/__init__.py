"""What one does with a store: open it, commit, publish, look through it, check it."""
