"""The command line ``artifact-store``: one short function per command, tables for people and ``--json`` for machines.

The only room that reads environment variables and writes to the terminal. What a command does is done by the store.
:mod:`artifact_store.cli.program` is public, for programs of other distributions.
"""


def main() -> None:
    """Run the command line with the arguments of this process, and exit."""
    import os

    from artifact_store.cli.app import app

    if "_ARTIFACT_STORE_COMPLETE" in os.environ:
        from artifact_store.cli.completing import register

        register()
    app()
