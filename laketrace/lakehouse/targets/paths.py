"""What a target path means, and the right form for a wrong one.

Floor 7. Stands on: runtime.signals.

A path is taken as it is or refused, never rewritten into another place. Nothing is sent or
created to find out what it means. A path never carries a secret: query strings and user names
in URLs are refused, and `shown` is what messages may contain.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from laketrace.runtime import signals

# Where a path below leads to a mount that takes whole new files only, and what must exist of it.
_MOUNTS = (
    (re.compile(r"(/Volumes/[^/]+/[^/]+/[^/]+)(?:/.*)?"), "the volume {} does not exist"),
    (re.compile(r"(/dbfs)/.+"), "this machine has no {}"),
    (re.compile(r"(/Workspace)/.+"), "this machine has no {}"),
    (re.compile(r"(/lakehouse/default)/Files(?:/.*)?"), "no default lakehouse is attached: no {}"),
    (re.compile(r"(/synfs/.+)"), "{} is not mounted"),
)
_FORMS = {
    "/Volumes": "/Volumes/<catalog>/<schema>/<volume>/<folder>",
    "/lakehouse": "/lakehouse/default/Files/<folder>",
    "/dbfs": "/dbfs/<folder>",
    "/Workspace": "/Workspace/<folder>",
    "dbfs": "dbfs:/<folder>",
    "abfss": "abfss://<container>@<account>.dfs.core.windows.net/<folder>",
    "onelake": "abfss://<workspace>@onelake.dfs.fabric.microsoft.com/<item>.Lakehouse/Files/<folder>",
    "s3": "s3://<bucket>/<folder>",
    "gs": "gs://<bucket>/<folder>",
    "az": "az://<container>/<folder>",
}
_INSTEAD = {
    "s3a": "s3", "s3n": "s3", "gcs": "gs", "wasb": "abfss", "wasbs": "abfss", "adl": "abfss",
    "abfs": "abfss", "azure": "az", "http": "abfss", "https": "abfss",
}  # fmt: skip
_DFS_HOST = re.compile(r"[^.]+\.(?:dfs|blob)\.(?:core\.(?:windows\.net|chinacloudapi\.cn|"
                       r"usgovcloudapi\.net)|fabric\.microsoft\.com)")  # fmt: skip


class Location(NamedTuple):
    """A place for files: its kind (`directory`, `mount`, `object`, `dbfs`, `lakehouse`) and path.

    `container` and `account` are those of an object store's URL.
    """

    kind: str
    path: str
    shown: str
    scheme: str = ""
    container: str = ""
    account: str = ""


def parse_target(text: object) -> Location:
    """The place that a target path names.

    Raises `ValueError` with the right form for anything that could not be what was meant.

    >>> parse_target("abfss://logs@acme.dfs.core.windows.net/ops").container
    'logs'
    >>> parse_target("s3a://logs/ops")
    Traceback (most recent call last):
    ...
    ValueError: 's3a://...' is not a form that LakeTrace writes to. Use s3://<bucket>/<folder>.
    """
    path = os.fspath(text) if isinstance(text, (str, os.PathLike)) else None
    if not isinstance(path, str) or not path.strip():
        raise ValueError(
            f"{text!r} is not a place for files. Use a directory or a URL, "
            f"e.g. {_FORMS['/Volumes']}."
        )
    if "\0" in path or "\n" in path or path != path.strip():
        raise ValueError(f"{path!r} has blanks at its ends or control characters. Remove them.")
    scheme, colon, rest = path.partition(":")
    if colon and len(scheme) > 1 and "/" not in scheme:
        return _parse_url(path, scheme.lower(), rest)
    return _parse_path(path)


def _refuse(shown: str, why: str, form: str) -> ValueError:
    return ValueError(f"{shown!r} {why}. Use {_FORMS[form]}.")


def _parse_path(path: str) -> Location:
    path = os.path.expanduser(path) if path.startswith("~") else path
    if os.sep == "/" and ("\\" in path or re.match("[A-Za-z]:", path)):
        raise ValueError(f"{path!r} is a path of Windows. Use '/', e.g. {_FORMS['/Volumes']}.")
    head = "/" + path.split("/")[1] if path.startswith("/") else ""
    _refuse_near_misses(path, head)
    if head in ("/Volumes", "/dbfs", "/Workspace", "/lakehouse", "/synfs"):
        clean = _clean(path)
        for pattern, _ in _MOUNTS:
            if pattern.fullmatch(clean):
                return Location("mount", clean, clean)
        why = "names no volume" if head == "/Volumes" else "is not a place for files"
        raise _refuse(path, why, head if head in _FORMS else "/lakehouse")
    if path.split("/")[0] in ("Volumes", "dbfs", "Workspace", "lakehouse"):
        raise _refuse(path, "lacks its first slash", "/" + path.split("/")[0])
    if not path.startswith("/") and signals.loaded("notebookutils", "fs") is not None:
        return _parse_relative(path)
    absolute = os.path.abspath(path)
    return Location("directory", absolute, absolute)


def _refuse_near_misses(path: str, head: str) -> None:
    """A mount's name in other letters would be a folder on local disk, which goes with the driver.

    Where there is such a folder already, that is what was meant.
    """
    for form in ("/Volumes", "/dbfs", "/Workspace", "/lakehouse"):
        if head != form and head.lower() == form.lower() and not os.path.isdir(head):
            raise _refuse(path, f"is not below {form}", form)
    if head == "/Files" and signals.loaded("notebookutils", "fs") is not None:
        raise ValueError(f"{path!r} is on local disk. Use Files/<folder>, without the first slash.")


def _parse_relative(path: str) -> Location:
    """A relative path on Fabric: below the default lakehouse, as its Spark understands it."""
    clean = _clean(path)
    if clean.split("/")[0] != "Files":
        raise ValueError(
            f"{path!r} is not below Files. Use Files/<folder>, or an absolute path for a local one."
        )
    return Location("lakehouse", clean, clean)


def _clean(path: str) -> str:
    """Without doubled and last slashes; `..` has no place here."""
    parts = [part for part in path.split("/") if part]
    if ".." in parts or "." in parts:
        raise ValueError(f"{path!r} contains '.' or '..'. Write the path without them.")
    return ("/" if path.startswith("/") else "") + "/".join(parts)


def _parse_url(path: str, scheme: str, rest: str) -> Location:
    if scheme == "file":
        if not rest.startswith("/") or (rest.startswith("//") and not rest.startswith("///")):
            raise ValueError(f"{path!r} is not a local file URL. Use file:///<folder>.")
        return _parse_path("/" + unquote(rest.lstrip("/")))
    if scheme == "dbfs":
        return _parse_dbfs(path, rest)
    if scheme in _INSTEAD:
        shown = f"{scheme}://..."
        raise _refuse(shown, "is not a form that LakeTrace writes to", _INSTEAD[scheme])
    if scheme not in ("abfss", "s3", "gs", "az"):
        raise ValueError(
            f"{scheme + ':'!r} is not a kind of place for files. Use a directory, "
            f"{_FORMS['abfss']}, {_FORMS['s3']}, {_FORMS['gs']} or {_FORMS['dbfs']}."
        )
    return _parse_object(scheme, rest)


def _parse_dbfs(path: str, rest: str) -> Location:
    if rest.startswith("//") or not rest.startswith("/") or not rest.strip("/"):
        raise _refuse(path, "is not a DBFS path", "dbfs")
    clean = _clean(rest)
    if clean.startswith("/Volumes"):
        return _parse_path(clean)
    if os.path.isdir(signals.under_root("/dbfs")):
        return Location("mount", f"/dbfs{clean}", f"dbfs:{clean}")
    return Location("dbfs", f"dbfs:{clean}", f"dbfs:{clean}")


def _parse_object(scheme: str, rest: str) -> Location:
    if not rest.startswith("//"):
        raise _refuse(f"{scheme}:{rest}", "lacks its two slashes", scheme)
    parts = urlsplit(f"{scheme}:{rest}")
    if parts.query or parts.fragment:
        raise ValueError(
            f"'{scheme}://...' has a query or a fragment, and a path never carries a secret. "
            "Put credentials into upload_options."
        )
    if parts.password is not None or (parts.username is not None and scheme != "abfss"):
        raise ValueError(f"'{scheme}://...' carries credentials. Put them into upload_options.")
    folder = _clean(parts.path.lstrip("/"))
    container, account = parts.netloc, ""
    if scheme == "abfss":
        container, account = _parse_account(parts.netloc, folder)
    if not container:
        raise _refuse(f"{scheme}:{rest}", "names no bucket or container", scheme)
    shown = f"{scheme}://{parts.netloc}/{folder}"
    return Location("object", folder, shown, scheme, container, account)


def _parse_account(netloc: str, folder: str) -> tuple[str, str]:
    container, _, host = netloc.partition("@")
    shown = f"abfss://{netloc}/{folder}"
    if not host or not container:
        raise _refuse(shown, "lacks container and account", "abfss")
    if not _DFS_HOST.fullmatch(host.lower()):
        raise _refuse(shown, f"names {host}, which is no Azure storage", "abfss")
    if "fabric.microsoft.com" in host.lower() and not re.match(r"[^/]+/Files(/|$)", folder):
        raise _refuse(shown, "is not below the Files of a lakehouse", "onelake")
    return container, host


def check_mount(location: Location) -> None:
    """See that the mount itself is there, so that no folder of its name is made on local disk.

    Raises `FileNotFoundError` when it is not.
    """
    for pattern, problem in _MOUNTS:
        match = pattern.fullmatch(location.path)
        if match is not None and not os.path.isdir(signals.under_root(match[1])):
            raise FileNotFoundError(2, problem.format(match[1]), location.shown)
