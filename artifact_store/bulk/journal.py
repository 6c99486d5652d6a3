"""The journal of bulk work: what was answered so far, a line for each answer, so that a killed driver goes on.

The first line is the question. Lines are appended, never changed, and each begins with the digest of the rest: what a
killed driver wrote half, or a disk lost, does not fit its digest, is dropped, and is asked again. Of two answers to one
question the last counts. Two drivers at one journal do each other no harm, and ask some things twice.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

from artifact_store.canonical import canonical, sha256
from artifact_store.errors import InvalidOption
from artifact_store.storage.home import at_home

MAX_LINE: Final = 16 << 20
"""Bytes of one line; a longer one is none of ours."""
_DIGEST: Final = 64
_HEAD: Final = '["'
_BETWEEN: Final = '",'


class Journal:
    """A file of answers to one question. ``answers`` has those that are in it, by reference."""

    def __init__(self, path: str | Path, question: Mapping[str, Any]) -> None:
        """Open the journal, or begin it.

        Raises:
            InvalidOption: the file holds the answers to another question, or something else, and is left as it is; or
                there is no such folder.
            OSError: it cannot be read or written.
        """
        self.path = at_home(path)
        self.answers: dict[str, Any] = {}
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        try:
            self._file = os.open(self.path, flags, 0o600)
        except FileNotFoundError as error:
            raise InvalidOption(
                f"there is no folder {self.path.parent} for the journal {self.path.name}: make it, or name another file"
            ) from error
        try:
            self._begin(line({"question": question}), canonical(question))
        except BaseException:
            self.close()
            raise

    def _begin(self, first: bytes, question: bytes) -> None:
        if not stat.S_ISREG(os.fstat(self._file).st_mode):  # a device or a pipe, which may have no end
            raise self._other()
        data = os.read(self._file, len(first))
        if first.startswith(data) and data != first:  # nothing, or as far as a killed driver came with the first line
            os.truncate(self.path, 0)
            self._write(first)
            return
        documents = lines(self.path)
        asked = next(documents, None)
        if not isinstance(asked, dict) or "question" not in asked:
            raise self._other()
        if canonical(asked["question"]) != question:
            raise InvalidOption(
                f"{self.path} holds the answers to another question: {_shown(asked['question'])}. Ask that again, or "
                "name another file"
            )
        for document in documents:
            if isinstance(document, dict) and isinstance(document.get("ref"), str):
                self.answers[document["ref"]] = document.get("verdict")
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                self._write(b"\n")

    def _other(self) -> InvalidOption:
        return InvalidOption(f"{self.path} is no journal of bulk work, and stays as it is: name another file")

    def add(self, answers: Iterable[tuple[str, Any]]) -> None:
        """Append answers, each a reference and a verdict as JSON: all of them in one write."""
        self._write(b"".join(line({"ref": ref, "verdict": verdict}) for ref, verdict in answers))

    def close(self) -> None:
        """Close the file; what was added is in it."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._file, data) :]


def line(document: Mapping[str, Any]) -> bytes:
    """Return a document as a line: a JSON list of the digest and the document."""
    text = canonical(document)
    return f"{_HEAD}{sha256(text)}{_BETWEEN}".encode() + text + b"]\n"


def lines(path: Path) -> Iterator[Any]:
    """Yield the documents of all whole lines in their order; what is no whole line is passed over."""
    start = len(_HEAD) + _DIGEST + len(_BETWEEN)
    with path.open("rb") as file:
        while text := file.readline(MAX_LINE):
            text = text.removesuffix(b"\n")  # the last line has none, if the driver was killed there
            document = text[start:-1]
            if text.endswith(b"]") and text[:start] == f"{_HEAD}{sha256(document)}{_BETWEEN}".encode():
                yield json.loads(document)


def _shown(question: object) -> str:
    return json.dumps(question, sort_keys=True)[:300]
