"""Object stores on loopback: `s3_server` (moto) and `azurite`, a new place in each, `any_store`.

`s3_bucket` and `azure_container` are what most tests want: an empty place, named, with the options
to reach it. Both speak plain HTTP, which `obstore` allows by `client_options={"allow_http": True}`
only (the same key among its other options makes it panic), delta-rs by an option more.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.support.processes import ROOT, free_port, made_once, server

AZURITE = os.path.join(ROOT, "tests", "environments", "azurite", "package.json")
ACCOUNT = "devstoreaccount1"  # Azurite's published account and key, the same on every machine
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
NEEDS_S3 = pytest.mark.extra("moto", "flask_cors")
NEEDS_AZURE = pytest.mark.extra("azure.storage.blob")
STORES = {"s3_server", "s3_bucket", "azurite", "azure_container"}


class Store(NamedTuple):
    """A store on loopback: its address and the `config` that `obstore` takes."""

    endpoint: str
    options: dict[str, str]


class Place(NamedTuple):
    """An empty bucket or container: `url` begins every name in it."""

    url: str
    name: str
    options: dict[str, str]

    @property
    def delta_options(self) -> dict[str, str]:
        """The `storage_options` that delta-rs takes."""
        return {**self.options, "allow_http": "true"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        wanted = STORES & set(getattr(item, "fixturenames", ()))
        if wanted:
            item.add_marker("stores")
        if wanted & {"s3_server", "s3_bucket"}:
            item.add_marker(NEEDS_S3)
        if wanted & {"azurite", "azure_container"}:
            item.add_marker("node")
            item.add_marker(NEEDS_AZURE)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """An S3 server."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    options = {
        "aws_endpoint": endpoint,
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
        "aws_region": "us-east-1",
    }
    with server(command, port, str(tmp_path_factory.mktemp("s3") / "log")):
        yield Store(endpoint, options)


@pytest.fixture
def s3_bucket(s3_server: Store) -> Place:
    """An empty S3 bucket."""
    import urllib.request

    name = f"b{uuid.uuid4().hex}"
    asked = urllib.request.Request(f"{s3_server.endpoint}/{name}", method="PUT")
    urllib.request.urlopen(asked, timeout=240).close()
    return Place(f"s3://{name}", name, s3_server.options)


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """An Azure Blob server."""
    program = _azurite_program()
    port = free_port()
    place = tmp_path_factory.mktemp("azurite")
    command = [program, "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck"]
    command += ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--silent"]
    endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
    options = {
        "azure_storage_account_name": ACCOUNT,
        "azure_storage_account_key": KEY,
        "azure_endpoint": endpoint,
    }
    with server(command, port, str(place / "log")):
        yield Store(endpoint, options)


@pytest.fixture
def azure_container(azurite: Store) -> Place:
    """An empty Azure container; a store never makes one by itself."""
    from azure.storage import blob

    name = f"c{uuid.uuid4().hex}"
    with blob.BlobServiceClient(azurite.endpoint, credential=KEY) as client:
        client.create_container(name)
    return Place(f"az://{name}", name, azurite.options)


@pytest.fixture(
    params=[
        pytest.param("s3_bucket", marks=[pytest.mark.stores, NEEDS_S3]),
        pytest.param("azure_container", marks=[pytest.mark.stores, pytest.mark.node, NEEDS_AZURE]),
    ]
)
def any_store(request: pytest.FixtureRequest) -> Place:
    """An empty place in each of the stores in turn."""
    place: Place = request.getfixturevalue(request.param)
    return place


def _azurite_program() -> str:
    """The path of `azurite-blob`, installed once from `azurite/package.json`."""
    if not shutil.which("npm"):
        pytest.skip("needs Node.js and npm for Azurite: apt-get install npm")
    return os.path.join(made_once(AZURITE, _npm_install), "node_modules", ".bin", "azurite-blob")


def _npm_install(recipe: str, folder: str) -> None:
    os.mkdir(folder)
    shutil.copy(recipe, folder)
    command = ["npm", "install", "--no-fund", "--no-audit", "--ignore-scripts", "--prefix", folder]
    said = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if said.returncode != 0:
        pytest.skip(f"npm could not install Azurite: {said.stderr.strip()[-500:]}")
