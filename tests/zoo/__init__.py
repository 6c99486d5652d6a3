"""The zoo: models and data in the shapes that people have them in, each saved, loaded in a fresh process and compared.

A family of makings is a module in ``tests/zoo/makings`` with a tuple ``MAKINGS``; it is found by being there.
``python dev.py prove zoo`` tries all of them.
"""
