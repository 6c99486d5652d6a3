"""The rows of the driver: each a workload, a place, the ways of doing it, and goals.

``goals`` are for full sizes and a quiet machine. ``limits`` are for the sizes of ``--quick``, and count requests, steps
and memory, never time: ``tests/integration/test_benchmarks.py`` holds them.
"""

from __future__ import annotations

from benchmarks.model import Row
from benchmarks.rows import codecs, cpu, files, folder, listings, pointers

ROWS: tuple[Row, ...] = (*cpu.ROWS, *files.ROWS, *listings.ROWS, *pointers.ROWS, *folder.ROWS, *codecs.ROWS)
BY_NAME = {row.name: row for row in ROWS}
