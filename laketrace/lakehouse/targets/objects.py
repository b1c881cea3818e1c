"""An object store as a target: S3, Azure (ADLS, Blob, OneLake), Google Cloud, through obstore.

Floor 7. Stands on: errors, lakehouse.steps, lakehouse.targets.base, lakehouse.targets.paths.

One put a file, which readers see whole or not at all, refused by the store when the name is
taken. A large file goes in parts (memory stays bounded); there the name is looked at first, and
two uploaders that overtake each other put the same bytes. Credentials come from `upload_options`,
from the platform or from the usual variables (`AWS_*`, `AZURE_*`, `GOOGLE_*`); no message shows
them. Each request has its own time limit; obstore itself tries nothing twice, because the
uploader does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from laketrace.errors import need
from laketrace.lakehouse.steps import step
from laketrace.lakehouse.targets.base import CHUNK_BYTES, OpenSource, Timeout
from laketrace.lakehouse.targets.paths import Location

_ONE_PUT = 8 << 20
# Options of the connection, which obstore takes apart from those of the store.
_CLIENT = ("allow_http", "allow_invalid_certificates", "proxy_url", "user_agent")
# Options that delta-rs knows and obstore refuses; one `upload_options` serves target and table.
_TABLE_ONLY = ("aws_s3_", "timeout", "connect_timeout", "max_retries", "retry_timeout")


class ObjectTarget:
    """Files below a prefix of a bucket or container."""

    overwrites = True

    def __init__(self, location: Location, options: Mapping[str, str], timeout: Timeout) -> None:
        self.shown = location.shown
        self._location = location
        self._options = dict(options)
        self._timeout = timeout
        self._obstore = need("obstore", "cloud", f"uploading to {location.scheme}://")

    def _store(self, size: int = 0) -> Any:
        """A store whose requests may take as long as there is time now."""
        seconds = timedelta(seconds=self._timeout(size))
        client: dict[str, Any] = {"timeout": seconds, "connect_timeout": seconds}
        config = {}
        for name, value in {**_client_variables(), **self._options}.items():
            plain = name.lower().removeprefix("aws_").removeprefix("azure_")
            if plain in _CLIENT:
                said = str(value).lower()
                client[plain] = said in ("true", "1") if plain.startswith("allow_") else value
            elif not name.lower().startswith(_TABLE_ONLY):
                config[name.lower()] = value
        kind = {"s3": "S3Store", "gs": "GCSStore"}.get(self._location.scheme, "AzureStore")
        make = getattr(self._obstore.store, kind)
        if self._location.account:
            config.setdefault("account_name", self._location.account.partition(".")[0])
            if "fabric.microsoft.com" in self._location.account:
                config.setdefault("use_fabric_endpoint", "true")
        retry = {"max_retries": 0, "retry_timeout": seconds}
        prefix = self._location.path or None
        return make(
            self._location.container, prefix=prefix, config=config, client_options=client,
            retry_config=retry,
        )  # fmt: skip

    def sizes(self, folder: str) -> dict[str, int]:
        """The names of the files directly in a folder, with their sizes."""
        start = f"{folder}/"
        listing = self._obstore.list_with_delimiter(self._store(), start)
        return {str(item["path"]).removeprefix(start): item["size"] for item in listing["objects"]}

    def send(self, name: str, source: OpenSource, size: int) -> None:
        """Write a file whole under a name that is new."""
        store = self._store(min(size, _ONE_PUT))
        try:
            with source() as file:
                if size <= _ONE_PUT:
                    data = file.read()
                    step("sending")
                    self._obstore.put(store, name, data, mode="create")
                    return
                self._refuse_taken(store, name)
                parts = iter(lambda: file.read(8 * CHUNK_BYTES), b"")
                watched = _watched(parts, size, self._timeout)
                self._obstore.put(store, name, watched, max_concurrency=2)
        except self._obstore.exceptions.AlreadyExistsError:
            raise FileExistsError(17, "it is there already", name) from None

    def _refuse_taken(self, store: Any, name: str) -> None:
        try:
            self._obstore.head(store, name)
        except FileNotFoundError:
            return
        raise FileExistsError(17, "it is there already", name)

    def receive(self, name: str) -> Iterator[bytes]:
        """The content of a file, in pieces."""
        for piece in self._obstore.get(self._store(_ONE_PUT), name).stream(
            min_chunk_size=CHUNK_BYTES
        ):
            yield bytes(piece)

    def replace(self, name: str, data: bytes) -> None:
        """Write a small file, over an older one if there is one."""
        self._obstore.put(self._store(), name, data, mode="overwrite", use_multipart=False)

    def remove(self, name: str) -> None:
        """Remove a file."""
        try:
            self._obstore.delete(self._store(), name)
        except FileNotFoundError:
            pass


def _client_variables() -> dict[str, str]:
    """The usual variables for a connection: obstore reads none once it is given any option."""
    names = {f"{cloud}_{option}".upper() for cloud in ("aws", "azure") for option in _CLIENT}
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def _watched(parts: Iterator[bytes], size: int, timeout: Timeout) -> Iterator[bytes]:
    """The parts, as long as there is time, with a step in the middle."""
    done = 0
    for part in parts:
        timeout(0)
        yield part
        done += len(part)
        if done * 2 >= size > (done - len(part)) * 2:
            step("sending")
