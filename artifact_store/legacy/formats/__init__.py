"""The files of old trees, one module per container, and what a run is made of them: read, never executed.

Each ``read_...`` takes the bytes of a file, and what errors call it. All of them raise ``Corrupt`` (damaged, another
kind of file, contradicting itself, or beyond the limits), ``RiskRefused`` (only running code could tell what it is; the
text says which name) and ``CodecUnavailable`` (a library is missing; the text says what to install).
"""
