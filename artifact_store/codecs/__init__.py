"""One module per kind of object: how it becomes files, and how it comes back. Found by entry points, never imported."""
