"""The paper trader: ``python -m artifact_models.trade --help``.

The entry point of :mod:`artifact_models.trading.trade`.
"""

from artifact_models.trading.trade import trade_command

if __name__ == "__main__":
    trade_command(prog_name="python -m artifact_models.trade")
