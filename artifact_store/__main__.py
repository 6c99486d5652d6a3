"""``python -m artifact_store``: the command line where its script is not on the path."""

from artifact_store.cli import main

main()
