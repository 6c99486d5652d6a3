"""A Windows CPython on a Debian machine, to run the tests that are about Windows."""
