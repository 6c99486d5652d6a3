"""A test of many cases tries all of them, and fails with the names of those that failed."""

import pytest

from tests.cases import each

pytestmark = pytest.mark.windows


def test_all_cases_are_tried_and_those_that_fail_are_named():
    tried = []
    with pytest.raises(BaseExceptionGroup, match="2 of 4 cases failed: 'b', 'd'") as caught:
        for case in each("abcd"):
            with case as letter:
                tried.append(letter)
                assert letter != "b"
                if letter == "d":
                    with pytest.raises(ValueError, match="never"):
                        pass
    assert tried == list("abcd")
    assert [error.__notes__ for error in caught.value.exceptions] == [["in the case 'b'"], ["in the case 'd'"]]


def test_cases_that_are_right_are_no_failure_and_none_at_all_is_one():
    for case in each([1, 2]):
        with case as number:
            assert number
    with pytest.raises(AssertionError, match="no case"):
        list(each([]))


def test_what_ends_the_process_is_not_kept_for_later():
    with pytest.raises(KeyboardInterrupt):
        for case in each([1]):
            with case:
                raise KeyboardInterrupt
