"""Bytes in motion: the backends, and the transfers between them and the local disk."""
