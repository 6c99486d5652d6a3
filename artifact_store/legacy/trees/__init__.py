"""Old trees of models: what lies where in them, what the files are called, and the notes beside the models."""
