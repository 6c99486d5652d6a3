"""Print the rules with their sources: ``python -m tests.servers.strict``."""

from tests.servers.strict import RULES
from tests.servers.strict.rule import printed

if __name__ == "__main__":
    print(printed(RULES))
