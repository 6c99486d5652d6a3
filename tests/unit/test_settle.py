"""A conditional write ends in one of three ways, whatever the network says."""

import pytest

from artifact_store.errors import (
    AccessDenied,
    Contended,
    DeadlineExceeded,
    LockHeld,
    OutcomeUnknown,
    PreconditionFailed,
    StorageFull,
    TooManyOpenFiles,
    Unreachable,
)
from artifact_store.storage.conditional_write import Observed, Outcome, settle
from artifact_store.storage.retry import RetryPolicy, with_retry

pytestmark = pytest.mark.windows


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.now, self.pauses = 0.0, []

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds

    def retry(self, seconds=60.0):
        return RetryPolicy(seconds=seconds, clock=lambda: self.now, sleep=self.sleep)


def script(*steps):
    """A callable that returns or raises one step after the other, and the last one for ever."""
    left = list(steps)

    def call():
        step = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(step, BaseException):
            raise step
        return step

    return call


LOST = Unreachable("the connection broke")
BUSY = Contended("409")
LATE = DeadlineExceeded("too slow")
REFUSED = PreconditionFailed("k")


def settled(send, look, seconds=60.0):
    return settle(send, look, retry=Clock().retry(seconds), key="k", write_id="w")


def test_what_could_not_be_sent_for_lack_of_descriptors_is_sent_again():
    assert (
        settled(script(TooManyOpenFiles("24"), TooManyOpenFiles("24"), "v1"), script(AssertionError())) is Outcome.WON
    )


def test_what_was_never_sent_is_told_so_and_is_not_unknown():
    with pytest.raises(TooManyOpenFiles):
        settled(script(TooManyOpenFiles("24")), script(AssertionError()))


def test_what_was_sent_before_the_descriptors_ran_out_is_unknown():
    with pytest.raises(OutcomeUnknown):
        settled(script(LOST, TooManyOpenFiles("24")), script(Observed.UNCHANGED))


def test_a_write_that_is_acknowledged_is_won():
    assert settled(script("v1"), script(AssertionError())) is Outcome.WON


@pytest.mark.parametrize("doubt", [LOST, BUSY, LATE, REFUSED])
def test_after_any_doubt_what_is_stored_decides(doubt):
    assert settled(script(doubt), script(Observed.OURS)) is Outcome.WON
    assert settled(script(doubt), script(Observed.OTHER)) is Outcome.LOST


@pytest.mark.parametrize("doubt", [LOST, BUSY, LATE, REFUSED])
def test_a_write_that_did_not_land_is_sent_again(doubt):
    assert settled(script(doubt, doubt, "v1"), script(Observed.UNCHANGED)) is Outcome.WON
    assert settled(script(doubt, REFUSED), script(Observed.UNCHANGED, Observed.OURS)) is Outcome.WON


def test_a_look_that_fails_is_repeated_after_sending_again():
    assert settled(script(LOST, REFUSED), script(LOST, Observed.OURS)) is Outcome.WON


@pytest.mark.parametrize("look", [LOST, Observed.UNCHANGED])
def test_what_cannot_be_established_in_time_is_unknown(look):
    with pytest.raises(OutcomeUnknown) as caught:
        settled(script(LOST), script(look), seconds=5)
    assert (caught.value.key, caught.value.write_id) == ("k", "w")
    assert isinstance(caught.value.__cause__, Unreachable)


@pytest.mark.parametrize("error", [AccessDenied("no"), StorageFull("no"), LockHeld("no"), ValueError("no")])
def test_a_refusal_for_good_is_passed_on(error):
    with pytest.raises(type(error)):
        settled(script(error), script(AssertionError()))


@pytest.mark.parametrize("error", [AccessDenied("no"), StorageFull("no")])
def test_a_refusal_after_a_doubt_proves_nothing(error):
    with pytest.raises(OutcomeUnknown) as caught:
        settled(script(LOST, error), script(Observed.UNCHANGED))
    assert caught.value.__cause__ is error


def test_pauses_grow_with_jitter_and_end_in_time():
    clock = Clock()
    assert len(list(clock.retry(10).tries())) > 5
    assert clock.now < 10
    assert all(0.025 <= pause <= 2.0 for pause in clock.pauses)
    assert clock.pauses[-1] > clock.pauses[0]
    assert list(Clock().retry(0.001).tries()) == [0]


def test_attempts_are_counted_and_pauses_double_up_to_the_longest():
    clock = Clock()
    attempts = list(clock.retry(20).tries())
    assert attempts == list(range(len(clock.pauses) + 1))
    for number, pause in enumerate(clock.pauses):
        most = min(0.05 * 2**number, 2.0)
        assert most / 2 <= pause <= most


def test_a_read_is_repeated_while_the_storage_is_unavailable():
    clock = Clock()
    assert with_retry(script(LOST, BUSY, "value"), clock.retry()) == "value"
    with pytest.raises(Unreachable):
        with_retry(script(LOST), clock.retry(1))
    with pytest.raises(AccessDenied):
        with_retry(script(AccessDenied("no"), "value"), clock.retry())
