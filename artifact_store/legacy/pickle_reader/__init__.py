"""Read a pickle without running it: opcodes, names, limits, and the inert tree that results."""
