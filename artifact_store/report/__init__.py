"""A report: pages about all models of a store, which a browser shows without a server and without a request.

``gather`` reads the store, ``details`` says what a page has of one run, ``pages`` makes the files, ``placing`` writes
them to a folder or a bucket, and ``serving`` shows them on this machine. Nothing that is stored is decoded or run.
"""
