"""Mutation testing: change one place of the sources at a time and see whether a test notices.

``python -m tools.mutants`` says how many of these changes the fast tests find, and lists those that they do not.
``operators`` makes the changes, ``project`` says of which files and with which tests, ``baseline`` learns which test
runs which line, ``trial`` runs the tests of one mutant in a forked process, ``report`` counts.

What it does not change: annotations, docstrings, imports, assertions, ``__repr__`` and ``__str__``, and text with
blanks in it, which is for people. Which class of error is raised, and what data it carries, it does change.
"""
