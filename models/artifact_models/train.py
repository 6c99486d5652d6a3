"""Train a model on candles, walk forward, save and publish: ``python -m artifact_models.train --help``.

The entry point of :mod:`artifact_models.trading.train_program`.
"""

from artifact_models.trading.train_program import train_command

if __name__ == "__main__":
    train_command(prog_name="python -m artifact_models.train")
