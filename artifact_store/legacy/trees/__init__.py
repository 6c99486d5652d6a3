"""Old trees of models: what lies where, what it is called, and what a new run makes of it."""
