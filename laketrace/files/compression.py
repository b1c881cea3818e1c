"""A segment becomes an archive, and an archive is read like a segment.

Floor 2. Stands on: files.segment, files.units.

An archive is written as `<segment>.<suffix>.tmp` and gets its name only when it is whole, so half
an archive never bears the name of one. The segment goes last, and only if it is still as long as
what was compressed. An existing archive is never overwritten. After any failure the segment is
there and the temporary file is not; after a crash both may be, and `files.recovery` clears up.
Threads: for the background; the work is done in calls that release the interpreter lock, some
milliseconds each, so that a log call does not wait for it. Codecs are imported when first used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, BinaryIO, NamedTuple

from laketrace.files.segment import ARCHIVES
from laketrace.files.units import shown

_CHUNK = 256 * 1024  # bytes: long enough to be worth a system call, short enough to be given up
_ATTEMPTS = 5
_SUFFIXES = {
    "gz": ".gz",
    "gzip": ".gz",
    "bz2": ".bz2",
    "bzip2": ".bz2",
    "xz": ".xz",
    "lzma": ".xz",
    "zip": ".zip",
    "zst": ".zst",
    "zstd": ".zst",
}
_MODULES = {
    ".gz": "gzip",
    ".bz2": "bz2",
    ".xz": "lzma",
    ".zip": "zipfile",
    ".zst": "compression.zstd",  # since Python 3.14
}
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)


class Compression(NamedTuple):
    """How segments are compressed: into an archive with `suffix`, or by the user's `function`.

    >>> parse_compression("gzip").suffix
    '.gz'
    """

    suffix: str
    function: Callable[[str], Any] | None = None

    def compress(self, source: str, give_up: Callable[[], bool] = lambda: False) -> str:
        """Turn the segment at `source` into an archive beside it; the path of the archive.

        `give_up` is asked now and then: when it says True, everything is put back and the path
        is that of `source`, which a later start compresses. That is also the path where a
        function of the user's left no archive.

        Raises `OSError` when the disk does not take the archive, its name is taken, another
        process is at work on it, or the segment does not stop growing; and whatever a
        function of the user's raises.
        """
        if self.function is not None:
            return _compress_by(self.function, source)
        for _ in range(_ATTEMPTS):
            archive = _compress_once(source, self.suffix, give_up)
            if archive is not None:
                return archive
            if give_up():
                return source
        raise OSError(f"{source} grows while it is compressed")


def parse_compression(value: object) -> Compression | None:
    """The compression for a setting; None for `"none"`, `""` and None.

    Takes gz (or gzip), bz2 (bzip2), xz (lzma), zip and zst (zstd, where this Python has it), in
    any letter case, or a callable. A callable gets the path of a finished segment and does as it
    likes, as in loguru; when it leaves an archive that LakeTrace can read beside the segment
    (`<path>.gz` and so on), the segment is removed, because its records would be there twice.

    Raises `ValueError` for anything else, and for a codec that this Python lacks.

    >>> parse_compression("BZ2").suffix, parse_compression("none")
    ('.bz2', None)
    """
    if value is None:
        return None
    if isinstance(value, str):
        name = value.strip().lower().removeprefix(".")
        if name in ("", "none"):
            return None
        if name in _SUFFIXES:
            _codec(_SUFFIXES[name])
            return Compression(_SUFFIXES[name])
    elif callable(value):
        return Compression("", value)
    raise ValueError(
        f"{shown(value)} is not a kind of compression. Use gz, bz2, xz, zip, zst or none, "
        "e.g. compression='gz', or a function that takes a path."
    )


def open_archive(path: str) -> BinaryIO:
    """Open a log file for reading bytes, whatever archive its name says it is, or none.

    Raises `OSError` when it cannot be opened, and `ValueError` when this Python lacks the codec.
    A damaged archive raises while it is read: `EOFError`, `OSError` or the error of its codec
    (`zlib.error`, `lzma.LZMAError`, `zipfile.BadZipFile`).
    """
    suffix = os.path.splitext(path)[1]
    if suffix not in _MODULES:
        return open(path, "rb")
    os.stat(path)  # that a file is not there is told before that its codec is not
    codec = _codec(suffix)
    if suffix != ".zip":
        opened: BinaryIO = codec.open(path, "rb")
        return opened
    with codec.ZipFile(path) as archive:  # the member keeps the file open until it is closed
        names = archive.namelist()
        if len(names) != 1:
            raise codec.BadZipFile(f"{path} holds {len(names)} files instead of one segment")
        member: BinaryIO = archive.open(names[0])
        return member


def _codec(suffix: str) -> Any:
    try:
        return import_module(_MODULES[suffix])
    except ImportError:
        name = suffix[1:]
        reason = "Python has it since 3.14" if name == "zst" else "it was built without it"
        raise ValueError(
            f"this Python has no {name} ({reason}). Use gz, e.g. compression='gz', "
            f"or another Python."
        ) from None


def _compress_once(source: str, suffix: str, give_up: Callable[[], bool]) -> str | None:
    """The path of the archive, or None when the source has grown or `give_up` said so."""
    archive = source + suffix
    temporary = f"{archive}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _BINARY
    with open(os.open(source, os.O_RDONLY | _NOFOLLOW | _BINARY), "rb", buffering=0) as reader:
        # Exclusive: where two processes take the same segment, one of them stops here.
        descriptor = os.open(temporary, flags, 0o600)
        try:
            with open(descriptor, "wb") as target, _archiver(target, suffix, source) as write:
                size = 0
                while chunk := reader.read(_CHUNK):
                    write(chunk)
                    size += len(chunk)
                    if give_up():
                        break
            status = os.fstat(reader.fileno())
            if status.st_size != size:
                return None
            os.chmod(temporary, status.st_mode & 0o777)
            os.utime(temporary, ns=(status.st_atime_ns, status.st_mtime_ns))
            _name(temporary, archive)
        finally:
            if os.path.lexists(temporary):
                os.unlink(temporary)
    os.unlink(source)
    return archive


@contextmanager
def _archiver(target: BinaryIO, suffix: str, source: str) -> Iterator[Callable[[bytes], Any]]:
    """A function that writes chunks of `source` into the archive `target`."""
    if suffix == ".zip":
        from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

        about = ZipInfo.from_file(source, os.path.basename(source), strict_timestamps=False)
        about.compress_type = ZIP_DEFLATED
        with ZipFile(target, "w") as archive, archive.open(about, "w") as member:
            yield member.write
    else:
        compressor = _compressor(suffix)
        yield lambda chunk: target.write(compressor.compress(chunk))
        target.write(compressor.flush())


def _compressor(suffix: str) -> Any:
    """The codec's object with `compress` and `flush`, at the level of its command line tool."""
    if suffix == ".gz":
        from zlib import DEFLATED, MAX_WBITS, compressobj

        return compressobj(6, DEFLATED, MAX_WBITS + 16)  # 16: with gzip's header (zlib manual)
    codec = _codec(suffix)
    if suffix == ".bz2":
        return codec.BZ2Compressor()
    if suffix == ".xz":
        return codec.LZMACompressor()
    return codec.ZstdCompressor()


def _name(temporary: str, archive: str) -> None:
    """Give a whole archive its name, or raise `FileExistsError` where something bears it."""
    try:
        os.link(temporary, archive)  # unlike a rename, it never replaces anything
    except FileExistsError:
        raise
    except (OSError, AttributeError):  # a file system or a platform without hard links
        if os.path.lexists(archive):
            raise FileExistsError(f"{archive} is there already") from None
        os.rename(temporary, archive)


def _compress_by(function: Callable[[str], Any], source: str) -> str:
    candidates = [source + suffix for suffix in ARCHIVES if not os.path.lexists(source + suffix)]
    before = os.stat(source)
    function(source)
    for archive in candidates:
        if os.path.isfile(archive):
            os.chmod(archive, before.st_mode & 0o777)
            if os.path.exists(source) and os.stat(source).st_size == before.st_size:
                os.unlink(source)
            return archive
    return source
