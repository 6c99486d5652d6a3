"""Ctrl-C in the middle of a training: noticed as soon as it does no harm, and never lost."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any, Final, Self

_IMPORTING: Final = "<frozen importlib._bootstrap>"
"""The file of every frame that imports something."""


class Interrupt:
    """Ctrl-C that cannot get lost: Python drops an exception that is raised while an object is being freed.

    As a context manager it raises ``KeyboardInterrupt`` at once where it can, and :meth:`check` raises it where that
    was in vain, or had to wait: an exception in the middle of an import of torch aborts the process. Outside of the
    main thread, where no signal arrives, it does nothing.
    """

    def __init__(self) -> None:
        self._asked = False
        self._before: tuple[Any, Any] | None = None

    def check(self) -> None:
        """Raise ``KeyboardInterrupt`` if Ctrl-C was pressed since the beginning."""
        if self._asked:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._handle), sys.unraisablehook
            sys.unraisablehook = self._unraisable
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            handler, sys.unraisablehook = self._before
            signal.signal(signal.SIGINT, handler)
            self._before = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del number
        self._asked = True
        while frame is not None:
            if frame.f_code.co_filename == _IMPORTING:
                return
            frame = frame.f_back
        raise KeyboardInterrupt

    def _unraisable(self, lost: Any) -> None:
        assert self._before is not None
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            self._before[1](lost)
