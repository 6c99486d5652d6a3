"""What AWS's variables and shared files say of a place, for every engine: one reader, so that one place is meant.

botocore reads ``~/.aws`` and most of the variables, obstore other variables and no file. What only one of them reads is
told to the other one. Credentials are not read here: each engine has them from botocore's chain, and knows when to.
"""

from __future__ import annotations

import configparser
import difflib
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from artifact_store.errors import AccessDenied, InvalidOption, TooManyOpenFiles
from artifact_store.storage import descriptors
from artifact_store.storage.home import at_home
from artifact_store.storage.redaction import without_credentials
from artifact_store.wording import brief

_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
_PROFILES: Final = ("AWS_DEFAULT_PROFILE", "AWS_PROFILE")  # in botocore's order
_KEYS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_TOKENS: Final = ("AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN")  # in botocore's order
_CONFIG: Final = ("AWS_CONFIG_FILE", "~/.aws/config")
_CREDENTIALS: Final = ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
_STYLES: Final = ("auto", "path", "virtual")
_TRUE: Final = frozenset({"1", "true", "on", "yes", "y", "requester"})
_FALSE: Final = frozenset({"", "0", "false", "off", "no", "n"})
_REQUESTS: Final = {
    "ServerSideEncryption": "AWS_SERVER_SIDE_ENCRYPTION",
    "SSEKMSKeyId": "AWS_SSE_KMS_KEY_ID",
    "ChecksumAlgorithm": "AWS_CHECKSUM_ALGORITHM",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment and the profile say; empty, or ``None``, where they say nothing."""

    region: str = ""
    endpoint: str = ""
    """The address of a server other than Amazon's own, without credentials."""
    ignores_endpoints: bool = False
    """Whether such an address does not count, though there may be one."""
    addressing_style: str = ""
    signs_payload: bool = True
    fips: bool = False
    dualstack: bool = False
    accelerate: bool = False
    ca_bundle: str = field(default="", repr=False)
    ca_bundle_named_by: str = ""


def settings(profile: str | None) -> Settings:
    """Return what variables and files say, for this profile or the one that the environment names.

    Raises:
        InvalidOption: a file cannot be parsed, or the profile does not exist, or a setting means nothing.
    """
    found, services = _profile(profile)
    s3 = _nested(found.get("s3", ""))
    fips, dualstack = (_switch(f"AWS_USE_{name}_ENDPOINT", found) for name in ("FIPS", "DUALSTACK"))
    bundle = _first(("AWS_CA_BUNDLE",))
    style = s3.get("addressing_style", "")
    if style and style not in _STYLES:
        raise InvalidOption(
            f"addressing_style in AWS's configuration is one of {', '.join(_STYLES)}, not {brief(style)}"
        )
    endpoint = _endpoint(found, services)
    accelerate = _true(s3.get("use_accelerate_endpoint", ""), "use_accelerate_endpoint in AWS's configuration")
    if endpoint and (fips or dualstack or accelerate):
        raise InvalidOption(
            f"{endpoint} is a server of its own, and AWS's configuration asks for FIPS, dual-stack or accelerated "
            "endpoints, which only Amazon has: leave out one of them"
        )
    signs = "AWS_UNSIGNED_PAYLOAD" not in os.environ or not _switch("AWS_UNSIGNED_PAYLOAD", {})
    return Settings(
        region=_first(_REGIONS) or found.get("region", ""),
        endpoint=endpoint,
        ignores_endpoints=_ignored(found),
        addressing_style=style,
        signs_payload=signs and s3.get("payload_signing_enabled", "").lower() != "false",
        fips=fips,
        dualstack=dualstack or _true(s3.get("use_dualstack_endpoint", ""), "use_dualstack_endpoint"),
        accelerate=accelerate,
        ca_bundle=bundle or found.get("ca_bundle", ""),
        ca_bundle_named_by="AWS_CA_BUNDLE names" if bundle else "ca_bundle in AWS's configuration names",
    )


def has_files_or_profile() -> bool:
    """Whether there is anything besides the variables for credentials to be found in."""
    return bool(_first(_PROFILES)) or any(os.path.isfile(_path(*place)) for place in (_CREDENTIALS, _CONFIG))  # noqa: PTH113


def environment_key() -> tuple[str, str, str | None] | None:
    """Return key, secret and session token of the environment.

    Raises:
        AccessDenied: there is a key without its secret.
    """
    key, secret = (os.environ.get(name, "") for name in _KEYS)
    if key and not secret:
        raise AccessDenied(f"{_KEYS[0]} is set without {_KEYS[1]}: set both, or none of them")
    return (key, secret, _first(_TOKENS) or None) if key else None


def skips_signature() -> bool:
    """Whether obstore's own variable says that no request is to be signed."""
    return _switch("AWS_SKIP_SIGNATURE", {})


def asked_by_environment() -> dict[str, Any]:
    """Return what obstore's own variables want on every request, in the words of botocore.

    Raises:
        InvalidOption: they ask for what only obstore can do.
    """
    if os.environ.get("AWS_SSE_CUSTOMER_KEY_BASE64"):
        raise InvalidOption(
            "AWS_SSE_CUSTOMER_KEY_BASE64 is read by obstore alone: give the key in s3_additional_kwargs="
            "{'SSECustomerAlgorithm': 'AES256', 'SSECustomerKey': ...}, or choose engine='obstore'"
        )
    asked: dict[str, Any] = {name: told for name, variable in _REQUESTS.items() if (told := os.environ.get(variable))}
    if "ChecksumAlgorithm" in asked:
        asked["ChecksumAlgorithm"] = asked["ChecksumAlgorithm"].upper()
    if "AWS_SSE_BUCKET_KEY_ENABLED" in os.environ:
        asked["BucketKeyEnabled"] = _switch("AWS_SSE_BUCKET_KEY_ENABLED", {})
    if _switch("AWS_REQUEST_PAYER", {}):
        asked["RequestPayer"] = "requester"
    return asked


def certificates(path: str, named_by: str) -> tuple[str, bytes]:
    """Return the whole path of a file of certificates, and what is in it.

    Raises:
        InvalidOption: it cannot be read, or holds none: ``named_by`` says who named it.
    """
    import ssl

    where = str(at_home(path))
    try:
        with descriptors.exhaustion_told(), open(where, "rb") as file:  # noqa: PTH123 -- as it was named
            held = file.read()
        ssl.create_default_context(cadata=held.decode("ascii", "replace"))
    except TooManyOpenFiles:
        raise
    except (OSError, ValueError) as error:  # what is no certificate is an OSError as well
        why = "holds no certificate in PEM form" if isinstance(error, ssl.SSLError | ValueError) else error.strerror
        raise InvalidOption(
            f"the file of certificate authorities {brief(where)}, which {named_by}, cannot be used: {why}. Correct the "
            "path, or leave it out to trust the usual ones"
        ) from None
    return where, held


# ---------------------------------------------------------------- files


def _profile(named: str | None) -> tuple[Mapping[str, str], Mapping[str, Mapping[str, str]]]:
    """Return the settings of the profile, those of the credentials file above the others, and the named services."""
    profiles: dict[str, dict[str, str]] = {}
    services: dict[str, Mapping[str, str]] = {}
    for section, values in _sections(_CONFIG).items():
        kind, name = _titled(section)
        if section == "default" or kind == "profile":
            profiles[name] = values
        elif kind == "services":
            services[name] = values
    for section, values in _sections(_CREDENTIALS).items():
        profiles.setdefault(section, {}).update(values)
    wanted = named or _first(_PROFILES)
    if wanted and wanted not in profiles:
        raise InvalidOption(_unknown(wanted, list(profiles), by_variable=named is None))
    return profiles.get(wanted or "default", {}), services


def _unknown(name: str, known: list[str], *, by_variable: bool) -> str:
    variable = next((one for one in _PROFILES if os.environ.get(one)), "")
    who = f", which {variable} names," if by_variable else ""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    shown = f"there are {', '.join(map(brief, sorted(known)[:5]))}; " if known else ""
    meant = f"did you mean {brief(near[0])}?" if near else f"{shown}make it with `aws configure --profile NAME`"
    files = " or ".join(brief(_path(*place)) for place in (_CONFIG, _CREDENTIALS))
    return f"the AWS profile {brief(name)}{who} is not in {files}: {meant}"


def _sections(place: tuple[str, str]) -> dict[str, dict[str, str]]:
    """Return what is in a shared file, as botocore reads it: one that cannot be opened is none."""
    path = _path(*place)
    parser = configparser.RawConfigParser(default_section="")
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise InvalidOption(
            f"AWS's configuration {brief(path)} cannot be read ({type(error).__name__}): correct it"
        ) from None
    return {section: dict(parser.items(section)) for section in parser.sections()}


def _titled(section: str) -> tuple[str, str]:
    """Return kind and name of ``[profile name]`` and its like."""
    try:
        words = shlex.split(section)
    except ValueError:
        return "", section
    return (words[0], words[1]) if len(words) == 2 else ("", section)  # noqa: PLR2004


def _nested(text: str) -> dict[str, str]:
    """Read the indented lines of a setting that holds settings."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _path(variable: str, usual: str) -> str:
    """Return the path of a shared file; where it would be in a home that is not there, that path is of no file."""
    return os.path.expanduser(os.path.expandvars(os.environ.get(variable) or usual))  # noqa: PTH111 -- see above


def _endpoint(profile: Mapping[str, str], services: Mapping[str, Mapping[str, str]]) -> str:
    section = profile.get("services", "")
    if section and section not in services:
        raise InvalidOption(f"AWS's configuration has no section [services {section}], which the profile names: add it")
    if _ignored(profile):
        return ""
    of_service = _nested(services[section].get("s3", "")).get("endpoint_url", "") if section else ""
    variable = next((name for name in _ENDPOINTS if os.environ.get(name)), "")
    told = os.environ[variable] if variable else of_service or profile.get("endpoint_url", "")
    address = without_credentials(told)
    if address and not address.startswith(("http://", "https://")):
        who = variable or "endpoint_url in AWS's configuration"
        raise InvalidOption(f"{who} is an address such as https://s3.example.com or http://127.0.0.1:9000")
    return address


def _ignored(profile: Mapping[str, str]) -> bool:
    return _switch("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", profile)


def _switch(variable: str, profile: Mapping[str, str]) -> bool:
    """Return a switch by its variable, or by the setting of the same name."""
    name = variable.removeprefix("AWS_").lower()
    if variable in os.environ:
        return _true(os.environ[variable], variable)
    return _true(profile.get(name, ""), f"{name} in AWS's configuration")


def _true(value: str, name: str) -> bool:
    if value.lower() not in _TRUE | _FALSE:
        raise InvalidOption(f"{name} is true or false, not {brief(value)}")
    return value.lower() in _TRUE


def _first(names: tuple[str, ...]) -> str:
    return next((value for name in names if (value := os.environ.get(name))), "")
