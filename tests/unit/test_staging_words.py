"""What a full disk, and a process without descriptors, are called on POSIX and on Windows, where only words are left."""

from __future__ import annotations

import errno
import os

import pytest

from artifact_store import errors
from artifact_store.storage import descriptors, room
from artifact_store.storage.staging import Staging

pytestmark = pytest.mark.windows

POSIX = (
    ("I/O error: No space left on device (os error 28)", errno.ENOSPC),
    ("Error writing bytes to file. Detail: [errno 28] No space left on device", errno.ENOSPC),
    ("File too large (os error 27)", errno.EFBIG),
    ("the end of the file (os error 112)", None),
    ("the end of the file (os error 39)", None),
    ("the end of the file (os error 128)", None),
    ("Unknown error", None),
)
WINDOWS = (
    ("I/O error: There is not enough space on the disk. (os error 112)", errno.ENOSPC),
    ("Espace insuffisant sur le disque. (os error 112)", errno.ENOSPC),
    ("[WinError 112] There is not enough space on the disk: 'model.bin'", errno.ENOSPC),
    ("IOError: [Windows error 112] There is not enough space on the disk.", errno.ENOSPC),
    ("The disk is full. (os error 39)", errno.ENOSPC),
    ("The requested file operation failed because the storage quota was exceeded. (os error 1295)", errno.EDQUOT),
    ("The file size exceeds the limit allowed and cannot be saved. (os error 223)", errno.EFBIG),
    ("[Errno 28] No space left on device", errno.ENOSPC),
    ("[Errno 27] File too large", errno.EFBIG),
    ("The printer is out of paper. (os error 28)", None),
    ("The drive cannot find the sector requested. (os error 27)", None),
    ("Incorrect function. (os error 1)", None),
    ("[Errno 10069] Unknown error", None),
    ("Unknown error", None),
)


@pytest.mark.skipif(os.name != "posix", reason="the numbers are those of this system")
@pytest.mark.parametrize(("words", "code"), POSIX)
def test_a_full_disk_is_known_by_the_words_of_posix(words: str, code: int | None) -> None:
    assert room.code_of(words) == code


@pytest.mark.parametrize(("words", "code"), WINDOWS)
def test_a_full_disk_is_known_by_the_words_of_windows(words: str, code: int | None) -> None:
    assert room.code_of(words, system="nt") == code


@pytest.mark.parametrize(
    ("words", "posix", "windows"),
    [
        ("Too many open files (os error 24)", True, True),
        ("The system cannot open the file. (os error 4)", False, True),
        ("Interrupted system call (os error 4)", False, True),
        ("A socket operation failed. (os error 10024)", False, True),
        ("(os error 24)", True, False),
        ("The program issued a command but the command length is incorrect. (os error 24)", True, False),
        ("Data error (cyclic redundancy check). (os error 23)", True, False),
        ("(os error 40)", False, False),
    ],
)
def test_a_process_without_descriptors_is_known_by_the_words_of_its_system(
    words: str, *, posix: bool, windows: bool
) -> None:
    assert (descriptors.told_by(words, system="posix"), descriptors.told_by(words, system="nt")) == (posix, windows)
    assert descriptors.told_by(words) is (windows if os.name == "nt" else posix)


@pytest.mark.parametrize(("words", "code"), WINDOWS if os.name == "nt" else POSIX)
def test_a_library_that_keeps_the_words_only_is_understood(tmp_path: object, words: str, code: int | None) -> None:
    kinds = {errno.ENOSPC: errors.StorageFull, errno.EDQUOT: errors.StorageFull, errno.EFBIG: errors.Unsupported}
    with pytest.raises(kinds.get(code, RuntimeError)):  # type: ignore[arg-type]
        write(Staging.of(tmp_path), words)


def write(staging: Staging, words: str) -> None:
    folder = staging.folder()
    try:
        with folder.written():
            raise RuntimeError(words)
    finally:
        folder.remove()
