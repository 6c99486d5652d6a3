"""What `python dev.py` does its work with: standard library only, no part of the package.

`mutants` is a program of its own, which runs in `.venv` and has mutmut do its work.
"""
