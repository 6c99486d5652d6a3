"""What the store costs beside the least that anyone could do, and beside other programs: ``python benchmarks --list``.

``rows`` says what is measured: a workload, where it runs, the ways of doing it, and its goals. ``workloads`` has what
they do, a module for each kind of work; ``peers`` the same work by others, in environments of their own. ``measuring``
does the ways by turns, each in a process of its own (``worker``). ``report`` and ``plot`` turn what came out into
Markdown and SVG.
"""
