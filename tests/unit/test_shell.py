"""What people copy into a shell is one word there."""

import os
import shlex

import pytest

from artifact_store.core.shell import quoted

pytestmark = pytest.mark.windows


@pytest.mark.parametrize(
    ("name", "posix", "windows"),
    [
        ("gru/BTCEUR@latest", "gru/BTCEUR@latest", "gru/BTCEUR@latest"),
        ("gru/C:EURUSD", "gru/C:EURUSD", "gru/C:EURUSD"),
        ("gru/BTC;2FUSDT", "'gru/BTC;2FUSDT'", '"gru/BTC;2FUSDT"'),
        ("gru/M&M.NS", "'gru/M&M.NS'", '"gru/M&M.NS"'),
        ("a'b", "'a'\"'\"'b'", '"a\'b"'),
        ('a"b', "'a\"b'", '"a\\"b"'),
        ("größe", "'größe'", '"größe"'),
        ("", "''", '""'),
        ("@x", "@x", '"@x"'),
    ],
)
def test_a_word_is_quoted_where_a_shell_would_read_it_otherwise(name, posix, windows):
    assert quoted(name, windows=False) == posix
    assert quoted(name, windows=True) == windows
    if os.name != "nt":
        assert shlex.split(posix) == [name]
