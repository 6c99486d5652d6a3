"""The same work by others: adapters with one shape, and the environments in which they run.

An adapter is a module with a function ``adapter(place, **options)``, which returns an object with two methods:
``save(files)`` keeps some files together as the newest, ``load(target)`` brings the newest into a new folder.
"""
