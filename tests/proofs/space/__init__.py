"""Processes that are killed while they save: the temporary space that they took is free again after the next save."""
