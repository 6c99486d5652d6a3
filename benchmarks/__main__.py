"""``python benchmarks`` and ``python -m benchmarks``."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from benchmarks.program import main

    sys.exit(main())
