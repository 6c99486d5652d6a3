"""A second implementation of the format: made from ``FORMAT.md``, for a store in a folder of a POSIX system.

It imports nothing of the library, so what it can do is what the document says. Signatures need ``cryptography``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import uuid
from pathlib import Path
from typing import Any

LIMITS = {
    "run": 8 << 20,
    "pointer": 256 << 10,
    "history": 256 << 10,
    "store": 64 << 10,
    "tombstone": (8 << 20) + 65536,
    "note": 65536,
}
RUN_ID = re.compile(r"\d{8}_\d{6}(_[a-z0-9][a-z0-9-]{0,39})?")
DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
TYPE = re.compile(r"[a-z][a-z0-9_-]{0,63}")
FIELDS = ("seq", "run_id", "manifest_sha256", "write_id", "at", "by", "reason")
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


class Refused(Exception):
    """What is stored is not what this format demands."""


def demand(met: bool, why: str) -> None:  # noqa: FBT001 -- reads as a sentence
    if not met:
        raise Refused(why)


def formed(value: Any, form: Any) -> Any:
    """Return a value of a configuration in its form."""
    kinds = {"number": float, "tuple": tuple, "set": set, "frozenset": frozenset}
    if isinstance(form, str):
        return kinds[form](value) if form in kinds else value
    if "order" in form:
        return {key: value[key] for key in form["order"]}
    return numbers(value) if form.get("numpy", "str") != "str" else value


def numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [numbers(part) for part in value]
    return float(value) if isinstance(value, str) else value


# ---------------------------------------------------------------- documents


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sealed(value: dict[str, Any]) -> dict[str, Any]:
    """Return a document with its checksum."""
    bare = {name: part for name, part in value.items() if name != "checksum"}
    return {**bare, "checksum": sha256(canonical(bare))}


def document(data: bytes, *kinds: str) -> dict[str, Any]:
    """Read one document: bounded, canonical, unchanged, of this major format and one of these kinds."""
    demand(len(data) <= max(LIMITS[kind] for kind in kinds), "it is too long")
    value = json.loads(data)
    demand(canonical(value) == data, "it is not in canonical form")
    demand(sealed(value)["checksum"] == value["checksum"], "it was changed after it was written")
    demand(value["format"].split(".")[0] == "1", "it is of another format")
    demand(
        set(value.get("must_understand", [])) <= {"symbols", "requires", "file-names", "zstd"},
        "it has something in it that is not known here",
    )
    demand(value["kind"] in kinds, "it is of another kind")
    demand(len(data) <= LIMITS[value["kind"]], "it is too long")
    return value


def digest_of(place: Path) -> dict[str, Any]:
    """Return what ``data`` in a manifest says of a file or a folder."""
    if place.is_file():
        data = place.read_bytes()
        return {"size": len(data), "sha256": sha256(data)}
    files = {path.relative_to(place).as_posix(): digest_of(path) for path in place.rglob("*") if path.is_file()}
    listing = canonical({name: found["sha256"] for name, found in files.items()})
    return {"size": sum(found["size"] for found in files.values()), "sha256": sha256(listing)}


def unpacked(frame: bytes, size: int) -> bytes:
    """Return what is in one frame of zstd, if that has this size, and nothing follows it."""
    try:
        from compression import zstd  # Python 3.14
    except ImportError:
        from backports import zstd
    one = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 23})
    found = one.decompress(frame, max_length=size + 1)
    if not one.eof:
        found += one.decompress(b"", max_length=1)
    demand(one.eof and len(found) == size and not one.unused_data, "it is no frame of that size")
    return found


# ---------------------------------------------------------------- symbols


def escaped(text: str) -> str:
    return "".join(f";{byte:02X}" for byte in text.encode())


def spelled(symbol: str) -> str:
    """Return the spelling of a symbol in keys."""
    text = "".join(sign if re.fullmatch(r"[A-Za-z0-9._-]", sign) else escaped(sign) for sign in symbol)
    text = re.sub(r"\.(?=(json|history)?\Z)", ";2E", text)
    if text[0] in "._-" or RUN_ID.fullmatch(text) or DEVICE.fullmatch(text):
        text = escaped(text[0]) + text[1:]
    demand(1 <= len(text) <= 100, "the symbol is too long")
    return text


def stored_name(path: str) -> str:
    """Return the spelling of the name of a file in keys."""
    text = "".join(sign if re.fullmatch(r"[A-Za-z0-9 ._+=@/-]", sign) else escaped(sign) for sign in path)
    return "/".join(escaped(part[0]) + part[1:] if part[0] in "+=@-" else part for part in text.split("/"))


def unspelled(name: str) -> str | None:
    """Return the symbol that is spelled so, if one is."""
    try:
        symbol = re.sub(r"(;[0-9A-F]{2})+", lambda found: bytes.fromhex(found[0].replace(";", "")).decode(), name)
        return symbol if spelled(symbol) == name else None
    except (UnicodeDecodeError, Refused):
        return None


def folder(key: str) -> str:
    """Return the folder of ``type/symbol``, in which the symbol is as it is."""
    kind, slash, symbol = key.partition("/")
    return f"{kind}/{spelled(symbol)}" if slash else kind


def understood(key: str) -> dict[str, Any]:
    return {} if folder(key) == key else {"must_understand": ["symbols"]}


# ---------------------------------------------------------------- reading


class Store:
    """A store in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.id = document((root / "_store.json").read_bytes(), "store")["store_id"]

    def models(self) -> list[str]:
        """Return the keys of all models: by the grammar of the names alone."""
        found = []
        for kind in self.root.iterdir():
            if not TYPE.fullmatch(kind.name):
                continue
            if any(self._is_ours(child) for child in kind.iterdir()):
                found.append(kind.name)
            found += [f"{kind.name}/{unspelled(child.name)}" for child in kind.iterdir() if self._is_symbol(child)]
        return sorted(found)

    def aliases(self, key: str) -> list[str]:
        return sorted(path.stem for path in (self.root / folder(key)).iterdir() if path.suffix == ".json")

    def runs(self, key: str) -> list[str]:
        """Return the committed runs that are not deleted."""
        names = [path.name for path in (self.root / folder(key)).iterdir() if RUN_ID.fullmatch(path.name)]
        return sorted(name for name in names if self.state(key, name) == "committed")

    def state(self, key: str, run_id: str) -> str:
        place = self.root / folder(key) / run_id / "manifest.json"
        if not place.exists():
            return "never committed"
        record = document(place.read_bytes(), "run", "tombstone")
        return "committed" if record["kind"] == "run" else record["state"]

    def pointer(self, key: str, alias: str) -> dict[str, Any]:
        found = document((self.root / folder(key) / f"{alias}.json").read_bytes(), "pointer")
        self._belongs(found, key, alias=alias)
        if found["manifest"] is not None:
            demand(sha256(canonical(found["manifest"])) == found["manifest_sha256"], "it carries another manifest")
        return found

    def manifest(self, key: str, run_id: str) -> dict[str, Any]:
        found = document((self.root / folder(key) / run_id / "manifest.json").read_bytes(), "run")
        self._belongs(found, key, run_id=run_id, store_id=self.id)
        return found

    def named(self, key: str, alias: str) -> dict[str, Any]:
        """Return the manifest of the run that an alias names."""
        pointer = self.pointer(key, alias)
        demand(pointer["run_id"] is not None, "the alias is retired")
        found = pointer["manifest"] or self.manifest(key, pointer["run_id"])
        demand(sha256(canonical(found)) == pointer["manifest_sha256"], "the manifest was replaced")
        return document(canonical(found), "run")

    def needed(self, manifest: dict[str, Any]) -> tuple[list[str], list[str]]:
        """Return which components predicting needs besides the model, and which of them the run has lost."""
        names = manifest.get("requires")
        if names is None:
            names = [name.strip() for name in manifest["tags"].get("requires", "").split(",") if name.strip()]
        else:
            demand(names == sorted(set(names)) and names != [], "its names are not in order")
        lost = [name for name in names if name not in manifest["components"]]
        marked = "requires" in manifest.get("must_understand", [])
        demand(marked == bool(lost and "requires" in manifest), "it does not say that it has lost something")
        return names, lost

    def configuration(self, manifest: dict[str, Any], name: str) -> Any:
        """Return ``config`` or ``training_config`` as it was given, arrays as lists of numbers."""
        whole = [json.loads(json.dumps(manifest[name]))]
        for path, form in manifest.get("forms", {}).get(name, []):
            inner, places = whole, [0, *path]
            for place in places[:-1]:
                inner = inner[place]
            inner[places[-1]] = formed(inner[places[-1]], form)
        return whole[0]

    def files(self, manifest: dict[str, Any]) -> dict[str, bytes]:
        """Return the files of a run by path, each compared."""
        found = {}
        for entry in manifest["files"]:
            path, key, own = entry["path"], entry["key"], stored_name(entry["path"])
            packed = "zstd" in entry
            name = f"{own}.zst" if packed else own
            demand(
                key == name or re.fullmatch(re.escape(name) + r"\.[0-9a-f]{8}", key) is not None, "it leads elsewhere"
            )
            demand(own == path or "file-names" in manifest["must_understand"], "it does not say how its keys are made")
            data = (self.root / folder(self._key(manifest)) / manifest["run_id"] / key).read_bytes()
            if packed:
                demand("zstd" in manifest["must_understand"] and len(data) == entry["zstd"], "it is another frame")
                data = unpacked(data, entry["size"])
            demand((len(data), sha256(data)) == (entry["size"], entry["sha256"]), f"{path} was changed")
            found[path] = data
        return found

    def history(self, key: str, alias: str) -> list[dict[str, Any]]:
        """Return every publish, oldest first, through the blocks that pin each other."""
        pointer = self.pointer(key, alias)
        entries = [*pointer["history"], {name: pointer[name] for name in FIELDS}]
        pinned, last = pointer.get("archive"), entries[0]["seq"] - 1
        while last:
            data = (self.root / folder(key) / f"{alias}.history" / f"{last:010d}.json").read_bytes()
            demand(pinned is None or sha256(data) == pinned, "the archive was changed")
            block = document(data, "history")
            self._belongs(block, key, alias=alias)
            demand(len(block["entries"]) == 32 and block["entries"][-1]["seq"] == last, "it is no whole block")
            entries, pinned, last = block["entries"] + entries, block.get("previous"), last - 32
        demand([entry["seq"] for entry in entries] == list(range(1, len(entries) + 1)), "there is a hole")
        return entries

    def notes(self, manifest: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the notes about a run in their order."""
        below = f"{folder(self._key(manifest))}/{manifest['run_id']}"
        found = []
        for place in (self.root / "_notes" / below).glob("*.json"):
            note = document(place.read_bytes(), "note")
            said = [note[name] for name in ("model_type", "symbol", "run_id", "manifest_sha256")]
            run = [*(manifest[name] for name in ("model_type", "symbol", "run_id")), sha256(canonical(manifest))]
            demand(said == run and place.name == f"{note['write_id']}.json", "it is about something else")
            found.append(note)
        return sorted(found, key=lambda note: (note["at"], note["write_id"]))

    def may_be_traded(self, manifest: dict[str, Any], pem: bytes | None = None) -> bool:
        """Tell whether no mark is in force; with a key, only a note that it signed lifts one."""
        notes = self.notes(manifest)
        lifting = [note for note in notes if "lifts" in note and (pem is None or self._signed(note, pem))]
        lifted = {mark for note in lifting for mark in note["lifts"]}
        return all(note["write_id"] in lifted for note in notes if note.get("do_not_trade"))

    def _signed(self, note: dict[str, Any], pem: bytes) -> bool:
        said = note.get("signature")
        if said is None or said["key_id"] != sha256(pem):
            return False
        bare = {name: part for name, part in note.items() if name != "checksum"}
        bare["signature"] = {"key_id": said["key_id"]}
        verify(pem, base64.b64decode(said["sig"]), "application/vnd.artifact-store.note+json", canonical(bare))
        return True

    def annotate(self, manifest: dict[str, Any], about: dict[str, Any], now: str) -> None:
        """Write a note about a run."""
        named = {name: manifest[name] for name in ("model_type", "symbol", "run_id")}
        note = {
            "format": "1.0",
            "kind": "note",
            "manifest_sha256": sha256(canonical(manifest)),
            "at": now,
            "by": "other",
        }
        note |= {**named, **about, **understood(self._key(manifest)), "write_id": uuid.uuid4().hex}
        below = f"_notes/{folder(self._key(manifest))}/{manifest['run_id']}"
        self._create(f"{below}/{note['write_id']}.json", canonical(sealed(note)))

    # ------------------------------------------------------------ signatures

    def check_pointer(self, pointer: dict[str, Any], pem: bytes) -> None:
        """Raise unless this key signed the pointer, for this store."""
        said = pointer["signature"]
        demand(said["key_id"] == sha256(pem) and said["store_id"] == self.id, "it is signed by somebody else")
        bare = {name: part for name, part in pointer.items() if name != "checksum"}
        bare["signature"] = {name: part for name, part in said.items() if name != "sig"}
        verify(pem, base64.b64decode(said["sig"]), "application/vnd.artifact-store.pointer+json", canonical(bare))

    def check_run(self, manifest: dict[str, Any], pem: bytes) -> None:
        """Raise unless this key signed the run: all of its files, and its manifest."""
        digest = sha256(canonical(manifest))
        place = self.root / folder(self._key(manifest)) / manifest["run_id"] / "_signatures"
        data = (place / f"{digest[:16]}.{sha256(pem)[:16]}.json").read_bytes()
        demand(len(data) <= 12 << 20, "it is too long")
        bundle = json.loads(data)
        envelope = bundle["dsseEnvelope"]
        demand(bundle["mediaType"] == BUNDLE, "it is no bundle")
        material = {"publicKey": {"hint": sha256(pem)}, "tlogEntries": []}
        demand(bundle["verificationMaterial"] == material, "it is signed by another key")
        payload, (signature,) = base64.b64decode(envelope["payload"]), envelope["signatures"]
        verify(pem, base64.b64decode(signature["sig"]), envelope["payloadType"], payload)
        statement = json.loads(payload)
        demand(envelope["payloadType"] == "application/vnd.in-toto+json", "it is no statement")
        demand(statement["_type"] == "https://in-toto.io/Statement/v1", "it is no statement")
        demand(statement["predicateType"] == "https://model_signing/signature/v1.0", "it says something else")
        digests = {entry["path"]: entry["sha256"] for entry in manifest["files"]} | {"manifest.json": digest}
        names = sorted(digests, key=lambda name: name.split("/"))
        resources = [{"name": name, "algorithm": "sha256", "digest": digests[name]} for name in names]
        demand(statement["predicate"]["resources"] == resources, "it is about other files")
        serialization = {
            "method": "files",
            "hash_type": "sha256",
            "allow_symlinks": False,
            "ignore_paths": ["_signatures"],
        }
        demand(statement["predicate"]["serialization"] == serialization, "it is made in another way")
        root = sha256(b"".join(bytes.fromhex(digests[name]) for name in names))
        demand([subject["digest"]["sha256"] for subject in statement["subject"]] == [root], "it contradicts itself")

    # ------------------------------------------------------------ writing

    def save(self, key: str, run_id: str, files: dict[str, bytes], about: dict[str, Any], now: str) -> None:
        """Store files and commit them as a run."""
        for path, data in files.items():
            self._create(f"{folder(key)}/{run_id}/{path}", data)
        listed = [
            {"path": path, "key": path, "size": len(data), "sha256": sha256(data)}
            for path, data in sorted(files.items())
        ]
        said = {
            "format": "1.0",
            "kind": "run",
            "store_id": self.id,
            "created_at": now,
            "write_id": uuid.uuid4().hex,
            "model_type": key.partition("/")[0],
            "symbol": key.partition("/")[2] or None,
            "run_id": run_id,
            "files": listed,
            "features": None,
            "is_fitted": True,
            "config": {},
            "training_config": {},
            "metrics": {},
            "tags": {},
            "environment": {},
            **understood(key),
            **about,
        }
        self._create(f"{folder(key)}/{run_id}/manifest.json", canonical(sealed(said)))

    def publish(self, key: str, alias: str, run_id: str, now: str) -> None:
        """Swap the pointer, which is there and tells of fewer than 64 publishes, for one that names this run."""
        import fcntl

        place, manifest = f"{folder(key)}/{alias}.json", self.manifest(key, run_id)
        seen = (self.root / place).read_bytes()
        before = self.pointer(key, alias)
        history = [*before["history"], {name: before[name] for name in FIELDS}]
        demand(len(history) < 64, "it is time for a block")
        after = {
            "format": "1.0",
            "kind": "pointer",
            "alias": alias,
            "seq": before["seq"] + 1,
            "history": history,
            "model_type": before["model_type"],
            "symbol": before["symbol"],
            "run_id": run_id,
            "manifest": manifest,
            "manifest_sha256": sha256(canonical(manifest)),
            "write_id": uuid.uuid4().hex,
            "at": now,
            "by": "the other implementation",
            "reason": "written from the document",
            **understood(key),
        }
        (self.root / "_locks").mkdir(mode=0o700, exist_ok=True)
        with (self.root / "_locks" / f"{sha256(place.encode())[:2]}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            demand((self.root / place).read_bytes() == seen, "somebody else was faster")
            self._temporary(self.root / place, canonical(sealed(after))).replace(self.root / place)

    def _create(self, key: str, data: bytes) -> None:
        target = self.root / key
        target.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
        temporary = self._temporary(target, data)
        try:
            os.link(temporary, target)  # fails if the name is taken
        finally:
            temporary.unlink()

    def _temporary(self, target: Path, data: bytes) -> Path:
        path = target.parent / f".tmp-{uuid.uuid4().hex[:16]}"
        with path.open("xb") as sink:
            sink.write(data)
            sink.flush()
            os.fsync(sink.fileno())
        return path

    # ------------------------------------------------------------ below

    def _belongs(self, found: dict[str, Any], key: str, **more: str) -> None:
        demand(self._key(found) == key and found.items() >= more.items(), "it was copied here from elsewhere")

    @staticmethod
    def _key(found: dict[str, Any]) -> str:
        return "/".join(part for part in (found["model_type"], found["symbol"]) if part)

    @staticmethod
    def _is_ours(child: Path) -> bool:
        return bool(RUN_ID.fullmatch(child.name)) or child.suffix in {".json", ".history"}

    def _is_symbol(self, child: Path) -> bool:
        return child.is_dir() and not self._is_ours(child) and unspelled(child.name) is not None


def verify(pem: bytes, signature: bytes, payload_type: str, payload: bytes) -> None:
    """Raise unless the key made this signature: ECDSA on P-256 with SHA-256, over DSSE's encoding."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key: Any = load_pem_public_key(pem)
    message = b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(payload), payload)
    try:
        key.verify(signature, message, ECDSA(SHA256()))
    except InvalidSignature:
        raise Refused("the signature does not fit") from None


# ---------------------------------------------------------------- files of agents


def tensors_in(data: bytes) -> dict[str, tuple[str, list[int], bytes]]:
    """Return dtype, shape and bytes of each tensor of a safetensors file."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    found = {}
    for name, told in header.items():
        begin, end = told["data_offsets"]
        found[name] = told["dtype"], told["shape"], data[8 + size + begin : 8 + size + end]
    return found


def tree_of(record: Any, tensors: dict[str, Any]) -> Any:
    """Return a tree of an agent, with whatever stands for a tensor in its place."""
    if isinstance(record, list):
        return [tree_of(part, tensors) for part in record]
    if not isinstance(record, dict):
        return record
    ((kind, value),) = record.items()
    if kind == "dict":
        return {key: tree_of(part, tensors) for key, part in value}
    if kind == "tuple":
        return tuple(tree_of(part, tensors) for part in value)
    if kind == "number":
        return value["values"][0] if isinstance(value["values"], list) else value["values"]
    demand(kind in {"tensor", "float"}, "a value of no kind")
    return tensors[value] if kind == "tensor" else float(value)


def schedule_at(record: Any, left: float) -> float:
    """Return what a schedule gives when ``left`` is left of the training."""
    if not isinstance(record, dict):
        return float(record)
    if record["schedule"] == "linear":
        done, start, end, fraction = 1 - left, record["start"], record["end"], record["end_fraction"]
        return float(end if done > fraction else start + done * (end - start) / fraction)
    demand(record["schedule"] == "table", "a schedule that there is not")
    points = list(zip(record["progress"], record["values"], strict=True))
    if left <= points[0][0]:
        return float(points[0][1])
    for place in range(1, len(points)):
        (low, first), (high, last) = points[place - 1], points[place]
        if left <= high:
            return float(first + (left - low) / (high - low) * (last - first))
    return float(points[-1][1])
