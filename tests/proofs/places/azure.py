"""Azure's Blob Storage as azurite plays it, through obstore and through adlfs."""

from __future__ import annotations

import base64
import secrets
from functools import partial
from importlib.metadata import version

from tests.proofs.places.place import Opened, Place
from tests.proofs.places.room import Room, command, port

AZURITE = "azurite@3.37.0"
ACCOUNT, CONTAINER = "places", "places"
MAKE = (
    "import os; from azure.storage.blob import BlobServiceClient as Client; "
    f"Client.from_connection_string(os.environ['PLACE']).create_container('{CONTAINER}')"
)


def _on(client: str, room: Room) -> Opened:
    python = room.python("adlfs", "adlfs==2026.8.0")
    program = room.node("azurite", AZURITE) / "azurite-blob"
    number, key = port(), base64.b64encode(secrets.token_bytes(32)).decode()
    where = ("--blobHost", "127.0.0.1", "--blobPort", str(number), "--location", str(room.folder / "data"))
    accounts = {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}"}
    room.start(program, *where, "--skipApiVersionCheck", "--disableTelemetry", port=number, environment=accounts)
    address = f"http://127.0.0.1:{number}/{ACCOUNT}"
    connection = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={key};BlobEndpoint={address}"
    command([python, "-c", MAKE], environment={"PLACE": connection})
    if client == "obstore":
        options = {"account_name": ACCOUNT, "account_key": key, "endpoint_url": address}
        arguments = {"url": f"az://{CONTAINER}/{room.name}", "storage_options": options}
        return Opened(arguments, f"azurite {AZURITE.partition('@')[2]}, obstore {version('obstore')}")
    arguments = {
        "url": f"az://{CONTAINER}/{room.name}",
        "engine": "fsspec",
        "storage_options": {"connection_string": connection},
    }
    told = command([python, "-c", "from importlib.metadata import version; print(version('adlfs'))"]).strip()
    return Opened(arguments, f"azurite {AZURITE.partition('@')[2]}, adlfs {told}", python=python)


PLACES = (
    Place("azurite-obstore", "azurite, through obstore", partial(_on, "obstore")),
    Place("azurite-adlfs", "azurite, through adlfs", partial(_on, "adlfs")),
)
