"""The files of old trees, one module per container: read, never executed."""
