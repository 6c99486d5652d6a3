"""Old model trees: read without running a line of what is stored in them.

Format readers take bytes and return plain values. They know no tree, no run and no store.
"""
