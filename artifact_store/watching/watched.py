"""One alias that is watched: what is served of it, and what has to be true before that is replaced."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Generic, Protocol, Self, TypeVar

from artifact_store.core.pointer import Pointer
from artifact_store.core.references import RunRef
from artifact_store.core.trust import Consent
from artifact_store.errors import Corrupt, Unavailable, Unconfirmed
from artifact_store.ops import follow, read, resolve
from artifact_store.ops.context import Context
from artifact_store.ops.golden import check_example
from artifact_store.process import Process, this_process
from artifact_store.run import CachingRun, Run
from artifact_store.storage.base import Version
from artifact_store.storage.threads import LOOK_UP, Cancelled
from artifact_store.watching.pace import Moment, Storage, WatchOptions
from artifact_store.wording import brief

T = TypeVar("T")

log = logging.getLogger("artifact_store.watch")


class Home(Protocol):
    """What polls an alias."""

    @property
    def storage(self) -> Storage:
        """Whether the storage answers, as this process knows it."""

    def go_on(self) -> None:
        """Poll in this process too, if it was forked."""

    def forget(self, watched: Watched[T]) -> None:
        """Watch this one no more."""


@dataclass(frozen=True, slots=True)
class _Served(Generic[T]):
    run: Run
    model: T


class Watched(Generic[T]):
    """The newest good model of one alias. Safe to use from many threads, and after a fork. A context manager.

    Every run is downloaded, compared, loaded and asked its golden predictions before it takes the place of the one
    before; whatever goes wrong, that one is kept, and :attr:`error` says why.
    """

    def __init__(
        self,
        watcher: Home,
        context: Context,
        options: WatchOptions,
        ref: RunRef,
        load: Callable[[Run], T],
        *,
        allow_code: bool,
    ) -> None:
        follow.followed(ref)
        self.ref = ref
        """The alias."""
        self.error: Exception | None = None
        """Why there is no newer model, or why it is not known whether there is one; ``None`` if this is the newest."""
        self._watcher, self._context, self._options = watcher, context, options
        self._load, self._allow_code = load, allow_code
        self._served: _Served[T] | None = None
        self._seen: Version | None = None
        self._pointer: Pointer | None = None
        """What was seen last, while its run is not served, or where the policy may stop to trust it."""
        self._failures, self._again = 0, 0.0
        self._confirmed = Moment.now(context)
        self._changes: dict[Process, threading.Condition] = {}
        self._closed = False

    def __repr__(self) -> str:
        served = "nothing yet" if self._served is None else self._served.run.run_id
        why = f", since {type(self.error).__name__}" if self.error is not None else ""
        return f"<{type(self).__name__} {self.ref}: {served}, confirmed {self.age.total_seconds():.0f} s ago{why}>"

    @property
    def model(self) -> T:
        """The newest model that was found to be good.

        Raises:
            Unconfirmed: it was not confirmed for longer than ``max_stale``; the cause is why.
            ArtifactStoreError: none could be loaded so far.
        """
        return self._in_use().model

    @property
    def run(self) -> Run:
        """The run of :attr:`model`; raises the same. Read it once for what has to be of one run."""
        return self._in_use().run

    @property
    def age(self) -> timedelta:
        """How long ago the storage said that the alias names this run; of the clocks of this machine, the later one."""
        return self._confirmed.age(self._context)

    def wait(self, timeout: float | None = None, *, after: Run | None = None) -> Run | None:
        """Wait until another run is served than ``after``, and return it; ``None`` if it takes longer, or is closed.

        Unless it is given, ``after`` is the run that is served now. ``timeout`` is in seconds.
        """
        self._watcher.go_on()
        before = after if after is not None else self._served and self._served.run
        end = float("inf") if timeout is None else monotonic() + timeout
        with self._changed:
            while not self._closed:
                if self._served is not None and self._served.run != before:
                    return self._served.run
                if (left := end - monotonic()) <= 0:
                    return None
                self._changed.wait(min(left, LOOK_UP))
        return None

    def close(self) -> None:
        """Watch this alias no more. What was loaded last stays there to be used, and grows stale."""
        self._watcher.forget(self)
        self.closed()

    def closed(self) -> None:
        """Let nothing change any more, and those who wait go on."""
        self._closed = True
        with self._changed:
            self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- for the watcher

    def begin(self) -> None:
        """Load what the alias names now, or raise why not."""
        asked = Moment.now(self._context)
        seen = resolve.published_pointer(self._context, self.ref)
        self._confirmed, self._seen, self._pointer = asked, seen.version, seen.value
        self._take(seen.value)
        self._note_good()

    def try_to_begin(self) -> None:
        """Do that, or let :attr:`error` be why not."""
        try:
            self.begin()
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001 -- of a library too: it is raised where the model is asked for
            self._refuse(error)

    def poll(self) -> float | None:
        """Look whether the alias names another run, and serve that one if it is good; return when to look again."""
        if self._closed:
            return None
        storage = self._watcher.storage
        if not storage.may_be_asked():
            self._fail(storage.failure)
            return self._options.pause()
        asked = Moment.now(self._context)
        try:
            found = follow.published_since(self._context, self.ref, self._seen)
        except Unavailable as error:
            storage.failed(error, asked.steady)
            self._fail(error)
        except BaseException as error:  # noqa: BLE001 -- as below
            storage.answered()
            self._fail(_failure(error))
        else:
            storage.answered()
            if found is not None:
                self._seen, self._pointer, self._again = found.version, found.value, 0.0
            self._settle(asked)
        return self._options.pause()

    def _settle(self, asked: Moment) -> None:
        """Serve what was seen last, unless that failed a moment ago; then say that this is the newest."""
        if monotonic() < self._again:
            return
        try:
            if self._pointer is not None:
                self._take(self._pointer)
        except BaseException as error:  # noqa: BLE001 -- of a library too: the model before stays, and this one is tried again
            self._refuse(_failure(error))
            return
        self._confirmed = asked
        self._note_good()

    def _take(self, pointer: Pointer) -> None:
        """Load and check the run that a pointer names, and serve it, unless it is served already."""
        context = self._context
        manifest = resolve.run_named_by(context, pointer)
        if self._served is not None and self._served.run.manifest.digest == manifest.digest:
            return
        consent = Consent(self._allow_code, None)
        run = CachingRun(context, manifest, lambda name, into: read.decode(context, manifest, name, consent, into))
        if self._options.golden and (found := check_example(run)).error is not None:
            raise found.error
        model = self._load(run)
        if self._closed:
            return
        before, self._served = self._served, _Served(Run(context, manifest), model)
        with self._changed:
            self._changed.notify_all()
        if before is not None:
            log.info("%s: %s instead of %s", self.ref, manifest.run_id, before.run.run_id)
            self._tell()

    def _tell(self) -> None:
        if self._options.on_change is None or self._closed:
            return
        try:
            self._options.on_change(self)
        except KeyboardInterrupt:  # of a caller who polls itself
            raise
        except BaseException:  # what the caller does there must not keep this or other aliases from being watched
            log.exception("%s: on_change failed", self.ref)

    def _note_good(self) -> None:
        self.error, self._failures, self._again = None, 0, 0.0
        if not self._context.policy.require_signature:
            self._pointer = None

    def _refuse(self, error: Exception) -> None:
        """Keep what is served, and try what was seen again, later each time."""
        self._again = monotonic() + self._options.pause(self._failures)
        self._failures += 1
        self._fail(error)

    def _fail(self, error: Exception | None) -> None:
        if self._closed:  # which may be why
            return
        if error is not None and type(error) is not type(self.error):
            log.warning("%s: confirmed %.0f s ago: %s", self.ref, self.age.total_seconds(), error)
        self.error = error

    def _in_use(self) -> _Served[T]:
        self._watcher.go_on()
        served, error, limit = self._served, self.error, self._options.max_stale
        if served is None:
            assert error is not None
            raise error.with_traceback(None)
        if limit is not None and (age := self.age) > limit:
            why = f"; the last look failed: {error}" if error is not None else ""
            raise Unconfirmed(
                f"{self.ref}: {served.run.run_id} was confirmed {age} ago, and max_stale allows {limit}{why}. It is "
                "served again as soon as the storage confirms it"
            ) from error
        return served

    @property
    def _changed(self) -> threading.Condition:
        """One per process: a thread that a fork left behind in the parent may hold the parent's for ever."""
        return self._changes.setdefault(this_process(), threading.Condition())


def _failure(error: BaseException) -> Exception:
    """Return why the newest model is not served; ``Cancelled`` and Ctrl-C are raised.

    What a library in Rust raises is no ``Exception``.
    """
    if isinstance(error, Cancelled | KeyboardInterrupt):
        raise error
    if isinstance(error, Exception):
        return error
    failure = Corrupt(f"the run cannot be loaded: {type(error).__name__}: {brief(str(error))}")
    failure.__cause__ = error
    return failure
