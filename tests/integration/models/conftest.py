"""Places to save models to, as text that needs no more than the environment of its user."""

import pytest

from tests.stores import place_of


@pytest.fixture(params=["local", "memory", "obstore"])
def root(request, monkeypatch):
    """Every kind of root in turn, each new: a folder, memory, a bucket of an S3 server."""
    place = place_of(request.param, request)
    options = place.get("storage_options")
    if options is not None:
        server = request.getfixturevalue("seaweed")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
    return place["url"]
