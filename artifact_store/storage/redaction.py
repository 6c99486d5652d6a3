"""What foreign clients and servers say, without credentials.

Owns how a secret is known again in a text, whatever spelling it has there, and the stand-in for a foreign exception.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from html import escape as html_escape
from urllib.parse import quote, quote_plus

_HIDDEN = "***"
_SHORT_SECRET = 8
_TELLING = 12  # characters of a longer one from which it is known again
_UNQUOTED = ("", "/", "=", "/=", "/+=")  # the signs of base64 that clients leave as they are in a URL, or not
_ESCAPE = re.compile(r"%[0-9A-F]{2}")
_DETAIL_LIMIT = 300

# What gives a request away even if we never saw the credential: signatures, tokens, userinfo, SAS and key ids.
_TELLTALES = (
    re.compile(r"(?i)((?:x-amz-(?:security-token|signature|credential)|x-goog-signature|x-goog-credential)\W{1,6})[^\s\"'&<>,;]+"),
    re.compile(r"(?i)((?:[?&]|\b)(?:sig|signature|awsaccesskeyid)=)[^\s\"'&<>,;]+"),
    re.compile(r"(?i)((?:customer-key(?:-md5)?|(?:x-)?api[-_]?key|(?:set-)?cookie)\"?'?\s*[:=]\s*[\"']?)[^\"'\r\n<>]+"),
    re.compile(r"(?i)(authorization\"?'?\s*[:=]\s*[\"']?)(?:\w[\w-]*\s+)?[^\"'\r\n]+"),
    re.compile(r"(?i)(<(?:AWSAccessKeyId|SignatureProvided|StringToSign|StringToSignBytes|CanonicalRequest|CanonicalRequestBytes)>)[^<]*"),
    re.compile(r"(?i)((?:secret_?(?:access_?)?key|account_?key|session_?token|shared_?access_?key|client_?secret)[\"']?\s*[:=]\s*[\"']?)[^\s\"'&<>,;]+"),
    re.compile(r"(://)[^/\s\"'@]+(?=@)"),
)  # fmt: skip


class ForeignError(Exception):
    """What a storage client reported: its type and its words, without credentials and without its objects."""


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return ``text`` with every secret, as it is, quoted, in hex or base64, and every signature replaced by ``***``.

    Secrets of fewer than eight characters are replaced as whole words only, so that a secret ``any`` leaves
    ``company`` readable.
    """
    every = sorted(_spellings(secrets), key=len, reverse=True)
    for spelled in every:
        if len(spelled) >= _SHORT_SECRET:
            text = text.replace(spelled, _HIDDEN)
        else:
            text = re.sub(rf"(?<!\w){re.escape(spelled)}(?!\w)", _HIDDEN, text)
    for spelled in every:
        text = _without_beginning(text, spelled)
    for telltale in _TELLTALES:
        text = telltale.sub(rf"\g<1>{_HIDDEN}", text)
    return text


def _without_beginning(text: str, secret: str) -> str:
    """Hide what is left of a secret where no more than its beginning is left: servers cut what they repeat."""
    if len(secret) <= _TELLING:
        return text
    beginning, pieces, done = secret[:_TELLING], [], 0
    while (at := text.find(beginning, done)) >= 0:
        pieces.append(text[done:at])
        done = at + len(beginning)
        while done < len(text) and done - at < len(secret) and text[done] == secret[done - at]:
            done += 1
    return _HIDDEN.join((*pieces, text[done:]))


def _spellings(secrets: Iterable[str]) -> set[str]:
    plain = {secret for secret in secrets if secret}
    quoted = {
        spell(secret, safe=safe, errors="surrogatepass")
        for secret in plain
        for spell in (quote, quote_plus)
        for safe in _UNQUOTED
    }
    small = {_ESCAPE.sub(lambda found: found[0].lower(), spelled) for spelled in quoted}
    escaped = {
        spell(secret)
        for secret in plain
        for spell in (lambda text: text.replace("/", "\\/"), lambda text: repr(text)[1:-1], html_escape, _in_json)
    }
    encoded = {spelled for secret in plain for spelled in _encoded(secret.encode("utf-8", "surrogatepass"))}
    return plain | quoted | small | escaped | {spelled for spelled in encoded if len(spelled) > _SHORT_SECRET}


def _in_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _encoded(data: bytes) -> Iterator[str]:
    """Yield bytes in hex and in base64, alone and behind something else, such as the name of a user."""
    yield from (data.hex(), data.hex().upper(), base64.b64encode(data).decode())
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            spelled = encode(b"\0" * before + data).decode()
            yield spelled[-(-before * 4 // 3) : (before + len(data)) * 4 // 3]


def clean_copy(error: BaseException, secrets: Iterable[str] = ()) -> ForeignError:
    """Return a stand-in for ``error`` that is fit to be the cause of ours.

    It carries the type's name and the redacted text, but no traceback, no context and none of the requests,
    sessions and headers that clients attach. Raise our own error *after* the ``except`` block has ended: inside
    it Python would put the original into ``__context__``.
    """
    kind = type(error)
    return ForeignError(redact(f"{kind.__module__}.{kind.__qualname__}: {error}", secrets))


def without_credentials(address: str) -> str:
    """Return the address of a server without a user, a password, a query and a slash at its end."""
    place = re.split(r"[?#]", address, maxsplit=1)[0]
    scheme, mark, rest = place.partition("://") if "://" in place else ("", "", place)
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}".rstrip("/")


def one_line(text: str, limit: int = _DETAIL_LIMIT) -> str:
    """Return ``text`` on one line and cut to ``limit`` characters: servers answer with whole pages."""
    joined = " ".join(text.split())
    return joined if len(joined) <= limit else joined[: limit - 3] + "..."
