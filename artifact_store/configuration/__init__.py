"""Stores by name: the files that name them, what each setting comes from, and the endpoints that the user allowed."""
