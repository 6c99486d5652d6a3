"""The strict JSON decoder, and everything that is built on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from artifact_store.canonical import canonical, checksum, parse_json, sound_document, thoroughly
from artifact_store.core.documents import Document
from artifact_store.core.manifest import Manifest
from artifact_store.core.names import ModelKey
from artifact_store.core.pointer import BLOCK, HistoryBlock, Pointer, PublishInfo, advance
from artifact_store.core.statement import Bundle, check_statement, read_bundle, statement, write_bundle
from artifact_store.core.store_record import StoreRecord
from artifact_store.core.tombstone import Tombstone
from artifact_store.errors import (
    ArtifactStoreError,
    Corrupt,
    FormatUnsupported,
    InvalidOption,
    NotFound,
    RunDeleted,
    SignatureInvalid,
)
from artifact_store.features.schema import FeatureSchema
from artifact_store.legacy.trees.notes import parse_notes
from artifact_store.ops import diff
from artifact_store.ops.last_seen import SeenAlias, SeenStore
from tests.proofs.fuzz.changing import change_json
from tests.proofs.fuzz.running import Target
from tests.unit.samples import KEY, NOW, manifest

KINDS: Sequence[type[Document]] = (Manifest, Pointer, HistoryBlock, Tombstone, StoreRecord, SeenAlias, SeenStore)
_LIMIT = 1 << 20


def corpus() -> list[bytes]:
    """One sound document of every kind, and what they hold inside."""
    features = FeatureSchema(["a", "b", "c"], selected=[0, 2], categories={"b": ["x", "1", ""]}).to_json()
    run = manifest(
        features=features, config={"lr": 0.1, "deep": [1, {"a": None}]}, metrics={"sharpe": 1.5, "loss": "NaN"},
        tags={"fold": "7"}, environment={"python": "3.11"}, signed_by=("b" * 64,),
        description="text", parent={"ref": "gru/BTCEUR:20240101_000000", "manifest_sha256": "c" * 64},
        data={"candles": {"size": 3, "sha256": "d" * 64}}, provenance={"git": {"dirty": True}},
    )  # fmt: skip
    note = PublishInfo(write_id="b" * 32, at=NOW, by="trainer", reason="weekly")
    pointers = [advance(None, KEY, "latest", run, note).pointer]
    blocks: tuple[HistoryBlock, ...] = ()
    while not blocks:
        step = advance(pointers[-1], KEY, "latest", None if len(pointers) % 7 == 3 else run, note)
        pointers.append(step.pointer)
        blocks = step.blocks
    escaped = manifest(symbol="BTC/USDT")
    tombstone = Tombstone.mark(run, note)
    documents: list[Document] = [
        *(escaped, advance(None, ModelKey("gru", "BTC/USDT"), "latest", escaped, note).pointer),
        *(run, manifest(), pointers[0], pointers[3], pointers[BLOCK], pointers[-1], *blocks),
        *(tombstone, tombstone.sealed(note), Tombstone.never_committed(KEY, run_id=_run_id(run), info=note)),
        StoreRecord(store_id="f" * 32, created_at=NOW, concurrency="safe", probed={"local": {"create_only": True}}),
        SeenStore(url="s3://bucket/models", store_id="f" * 32),
        SeenAlias(store_id="f" * 32, ref="gru/BTCEUR@latest", seq=3, write_id="a" * 32),
    ]
    bundle = write_bundle(Bundle("c" * 64, statement(run), b"signature"))
    return [*(document.to_bytes() for document in documents), statement(run), bundle, b"{}", b"[1,2.5,null]"]


def _run_id(run: Manifest) -> Any:
    from artifact_store.core.names import RunId

    return RunId(run.run_id)


def read(data: bytes) -> str:
    """Decode the bytes, and what they would be with a checksum that fits."""
    parse_notes("metadata.json", data)
    value = parse_json(data, limit=_LIMIT, what="it")
    again = canonical(value)
    assert canonical(parse_json(again, limit=2 * _LIMIT, what="it")) == again
    for reader in (_read_bundle, _read_statement):
        _quietly(lambda reader=reader: reader(data))  # type: ignore[misc]
    if not isinstance(value, dict):
        return "a value"
    _agree(data)
    _agree(canonical(value | {"checksum": checksum(value)}))
    _quietly(lambda: FeatureSchema.from_json(value))
    return _read_document(value)


def _agree(data: bytes) -> None:
    """The short way through a document takes exactly what the long one takes."""
    sound = sound_document(data, limit=_LIMIT)
    try:
        thorough = thoroughly(data, limit=_LIMIT, what="it")
    except Corrupt:
        thorough = None
    if thorough is not None and data.count(thorough["checksum"].encode()) > 1:  # left to the long way
        return
    assert sound == thorough


def _read_document(value: dict[str, Any]) -> str:
    """Seal the value as a document of the kind that it says, and use what comes out."""
    kinds = [kind for kind in KINDS if value.get("kind") == kind.KIND]
    if not kinds:
        kinds = [KINDS[len(value) % len(KINDS)]]
        value = value | {"kind": kinds[0].KIND, "format": "1.0"}
    sealed = canonical(value | {"checksum": checksum(value)})
    made = ""
    for kind in kinds:
        try:
            document = kind.from_bytes(sealed, what="the document")
        except ArtifactStoreError as error:
            made = made or type(error).__name__
            continue
        assert document.to_bytes() == sealed
        assert document == kind.from_bytes(sealed, what="the document")
        USES[kind](document)
        made = kind.__name__
    if not made:
        raise Corrupt("no document")
    return made


def _use_manifest(run: Any) -> None:
    assert run.label
    assert run.digest
    _quietly(lambda: run.component("model"), NotFound)
    _quietly(lambda: run.file("model.json"), NotFound)
    _quietly(lambda: diff.compare_manifests(run, manifest()).to_json())
    check_statement(statement(run), run, "its own statement")


def _use_pointer(pointer: Any) -> None:
    assert pointer.entries[-1].seq == pointer.seq
    assert pointer.archived >= 0
    _quietly(lambda: pointer.embedded("the pointer"))
    _quietly(lambda: pointer.check_identity(KEY, "latest", "the pointer"))
    if pointer.signature is not None:
        assert pointer.signed_message()
    note = PublishInfo(write_id="d" * 32, at=datetime.now(UTC), by="us")
    _quietly(lambda: advance(pointer, KEY, "latest", manifest(), note), InvalidOption)


def _use_tombstone(tombstone: Any) -> None:
    assert str(tombstone)
    _quietly(tombstone.restored)
    _quietly(lambda: tombstone.sealed(PublishInfo(write_id="d" * 32, at=NOW, by="us")))


def _nothing(_: Any) -> None:
    """There is nothing more to be done with it."""


USES: dict[type[Document], Callable[[Any], object]] = {
    Manifest: _use_manifest,
    Pointer: _use_pointer,
    HistoryBlock: lambda block: block.check_identity(KEY, "latest", block.last_seq, "it") if block.alias == "latest" else 0,
    Tombstone: _use_tombstone,
    StoreRecord: _nothing,
    SeenAlias: _nothing,
    SeenStore: _nothing,
}  # fmt: skip


def _read_bundle(data: bytes) -> None:
    bundle = read_bundle(data, "the signature")
    check_statement(bundle.payload, manifest(), "the signature")


def _read_statement(data: bytes) -> None:
    check_statement(data, manifest(), "the statement")


def _quietly(call: Callable[[], object], *more: type[ArtifactStoreError]) -> None:
    """Let a part be refused for what it is; the rest is looked at all the same."""
    try:
        call()
    except (*TYPED, *more):
        return


TYPED = (Corrupt, FormatUnsupported, RunDeleted, SignatureInvalid)
"""What a document that is not as it should be is called; never a mistake of the caller."""
TARGET = Target("json", read, corpus, change_json, typed=TYPED)


def sealed(text: str) -> bytes:
    """Return a document with a checksum that fits; for those who write regressions by hand."""
    value = json.loads(text)
    return canonical(value | {"checksum": checksum(value)})
