"""The paper trader: ``python -m artifact_models.trade --help``.

The door of a program that is in :mod:`artifact_models.trading.trade`.
"""

from artifact_models.trading.trade import main

if __name__ == "__main__":
    main(prog_name="python -m artifact_models.trade")
