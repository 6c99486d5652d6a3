"""``python -m artifact_store``: the command line, where its program is not on the path."""

from artifact_store.cli import main

if __name__ == "__main__":
    main()
