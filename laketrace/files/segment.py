"""Names on disk: the active file of a stem, its segments, and which stream they belong to.

Floor 2. Stands on: nothing.

    <log_dir>/<stem>.log                                 the active file
    <log_dir>/<stem>.log.<YYYYMMDD_HHMMSS>[.<n>][.gz]     a segment: finished, never written again
    <log_dir>/.laketrace/<stem>.lock                     locked by the process that writes the stem;
                                                         the last key used
    <log_dir>/.laketrace/<stem>.stream                   journal: one line a process start
    <log_dir>/.laketrace/<stem>.done                     segments whose upload is confirmed
    <log_dir>/.laketrace/<stem>.ledger                   what is uploaded where (`lakehouse.ledger`)

The stamp is UTC. (stamp, n) only grows within a stem, also when the clock jumps back. A stem is
the logger's name made safe, with `.<pid>` for a second process or a forked child.
"""

from __future__ import annotations

import json
import os
import re
from time import gmtime, strftime
from typing import Any, NamedTuple

ARCHIVES = (".gz", ".bz2", ".xz", ".zip", ".zst")
SIDECARS = ".laketrace"
_SEGMENT = re.compile(
    r"(?P<stem>.+)\.log\.(?P<stamp>\d{8}_\d{6})(?:\.(?P<number>\d+))?(?P<suffix>\.[a-z0-9]+)?",
    re.DOTALL,
)
_KEY = re.compile(r"(\d{8}_\d{6})(?:\.(\d+))?", re.ASCII)
_SECOND = re.compile(r"(\.\d+){1,2}")  # what a second process's stem ends with: pid, number
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+=@, ()")
_MAX_STEM = 150  # bytes; a file system takes 255, and a stamp, a number and a suffix follow

Key = tuple[str, int]


class Segment(NamedTuple):
    """A finished log file.

    >>> segment = parse_segment("/tmp/logs/orders.log.20261121_103200.2.gz")
    >>> segment.stem, segment.key, segment.suffix, segment.base
    ('orders', ('20261121_103200', 2), '.gz', 'orders.log.20261121_103200.2')
    """

    path: str
    stem: str
    stamp: str
    number: int
    suffix: str

    @property
    def key(self) -> Key:
        """Its place in the order of its stem."""
        return self.stamp, self.number

    @property
    def base(self) -> str:
        """Its file name without the archive's suffix: its name for ever."""
        return segment_name(self.stem, self.key)

    @property
    def time_ns(self) -> int:
        """When it was finished, in Unix nanoseconds, to the second."""
        from calendar import timegm
        from time import strptime

        return timegm(strptime(self.stamp, "%Y%m%d_%H%M%S")) * 1_000_000_000

    @property
    def size(self) -> int:
        """Bytes on disk now; 0 when it is gone."""
        try:
            return os.stat(self.path).st_size
        except OSError:
            return 0


def parse_segment(path: str) -> Segment | None:
    """The segment whose path this is, or None when the name is not one of ours."""
    match = _SEGMENT.fullmatch(os.path.basename(path))
    if match is None or (match["suffix"] or "") not in ("", *ARCHIVES):
        return None
    return Segment(
        path, match["stem"], match["stamp"], int(match["number"] or 0), match["suffix"] or ""
    )


def segment_name(stem: str, key: Key) -> str:
    """The file name of a segment, without an archive's suffix."""
    stamp, number = key
    return f"{stem}.log.{stamp}.{number}" if number else f"{stem}.log.{stamp}"


def find_segments(log_dir: str, stem: str | None = None) -> list[Segment]:
    """The segments in `log_dir` in time order, of one stem or of all; [] for no directory."""
    try:
        names = os.listdir(log_dir)
    except OSError:
        return []
    # Of the thousands of files that a directory may have, most belong to other loggers.
    start = "" if stem is None else f"{stem}.log."
    ours = (name for name in names if name.startswith(start) and ".log." in name)
    found = (parse_segment(os.path.join(log_dir, name)) for name in ours)
    segments = [item for item in found if item is not None and stem in (None, item.stem)]
    return sorted(segments, key=lambda item: (item.key, item.stem, item.suffix))


def find_each_segment(log_dir: str, stem: str | None = None) -> list[Segment]:
    """`find_segments`, by stem and key, with none passed over and each once.

    Looked for twice: a segment that becomes an archive under the first look may be missing from it
    under both names. Where an archive lies beside its source, it is the source.
    """
    each: dict[tuple[str, Key], Segment] = {}
    for segment in [*find_segments(log_dir, stem), *find_segments(log_dir, stem)]:
        kept = each.get((segment.stem, segment.key))
        if kept is None or segment.suffix < kept.suffix:
            each[segment.stem, segment.key] = segment
    return [each[place] for place in sorted(each)]


def active_files(log_dir: str) -> list[str]:
    """The paths of the active files in `log_dir`, by name."""
    try:
        names = os.listdir(log_dir)
    except OSError:
        return []
    return [os.path.join(log_dir, name) for name in sorted(names) if name.endswith(".log")]


def own_stems(log_dir: str, stem: str, logger_name: str) -> list[str]:
    """`stem` and those of this logger's second processes and forked children that left files.

    Another logger may be called `<stem>.5`; the journals say whose a stem is.
    """
    stems = {_stem_of(name) for name in _names(log_dir, stem)}
    sidecars = _names(os.path.join(log_dir, SIDECARS), stem)
    stems.update(name[: -len(".stream")] for name in sidecars if name.endswith(".stream"))
    return sorted(
        name
        for name in stems
        if name == stem
        or (_SECOND.fullmatch(name, len(stem)) and _writers(log_dir, name) == {logger_name})
    )


def _names(directory: str, start: str) -> list[str]:
    """The names in a directory that begin with `start`; [] for no directory."""
    try:
        return [name for name in os.listdir(directory) if name.startswith(start)]
    except OSError:
        return []


def _stem_of(name: str) -> str:
    """The stem of an active file or a segment; "" for any other file."""
    if name.endswith(".log"):
        return name[: -len(".log")]
    segment = parse_segment(name)
    return segment.stem if segment is not None else ""


def _writers(log_dir: str, stem: str) -> set[str]:
    return {line.logger_name for line in read_journal(log_dir, stem)}


def safe_stem(name: str) -> str:
    """A file stem for a logger's name: no separator, no surprise, no two names with one stem.

    >>> safe_stem("a/b"), safe_stem("a_b"), safe_stem("../x"), len(safe_stem("n" * 300))
    ('a%2Fb', 'a_b', '%2E.%2Fx', 150)
    """
    stem = "".join(char if char in _SAFE or _is_letter(char) else _percent(char) for char in name)
    if stem.startswith((".", " ")):
        stem = _percent(stem[0]) + stem[1:]
    encoded = stem.encode("utf-8")
    if len(encoded) > _MAX_STEM:
        from hashlib import sha256  # it loads OpenSSL, in milliseconds

        digest = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        head = encoded[: _MAX_STEM - len(digest) - 1].decode("utf-8", "ignore")
        stem = f"{head}~{digest}"
    return stem


def _is_letter(char: str) -> bool:
    return ord(char) > 127 and char.isalnum()


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))


def next_key(now_ns: int, last: Key) -> Key:
    """The key of the next segment: now, or right behind `last` where the clock is not later.

    >>> next_key(0, ("", 0)), next_key(0, ("20000101_000000", 1))
    (('19700101_000000', 0), ('20000101_000000', 2))
    """
    stamp = strftime("%Y%m%d_%H%M%S", gmtime(now_ns // 1_000_000_000))
    if stamp > last[0]:
        return stamp, 0
    return last[0], last[1] + 1


def sidecar(log_dir: str, stem: str, kind: str) -> str:
    """The path of what is kept beside a stem: `lock`, `stream`, `done` or `ledger`."""
    return os.path.join(log_dir, SIDECARS, f"{stem}.{kind}")


class JournalLine(NamedTuple):
    """From which key on the segments of a stem belong to a stream.

    `inode` is that of the stem's lock where the stream was drawn; 0 where nothing tells.
    """

    stream: str
    after: Key
    at: int
    pid: int
    logger_name: str
    inode: int = 0


def parse_key(text: str) -> Key:
    """A key from its text, `20261121_103200.2`; the least one where the text is none.

    A damaged note of the last key must not become a name: it would be that of no segment.

    >>> parse_key("20261121_103200.2"), parse_key("~")
    (('20261121_103200', 2), ('', 0))
    """
    match = _KEY.fullmatch(text)
    return (match[1], int(match[2] or 0)) if match is not None else ("", 0)


def key_text(key: Key) -> str:
    """The text of a key; the inverse of `parse_key`."""
    return f"{key[0]}.{key[1]}" if key[1] else key[0]


def read_journal(log_dir: str, stem: str) -> list[JournalLine]:
    """The journal of a stem, oldest line first; a line that cannot be read is passed over."""
    try:
        with open(sidecar(log_dir, stem, "stream"), encoding="utf-8", errors="replace") as file:
            texts = file.read().splitlines()
    except OSError:
        return []
    lines = []
    for text in texts:
        try:
            line: dict[str, Any] = json.loads(text)
            key = parse_key(str(line["after"]))
            name = str(line.get("logger_name", ""))
            inode = int(line.get("inode", 0))
            stream = str(line["stream"])
            lines.append(JournalLine(stream, key, line["at"], line["pid"], name, inode))
        except (ValueError, KeyError, TypeError):
            continue
    return lines


def write_journal(log_dir: str, stem: str, lines: list[JournalLine]) -> None:
    """Replace the journal of a stem, whole or not at all; only for who holds the stem's lock."""
    path = sidecar(log_dir, stem, "stream")
    text = "".join(
        json.dumps({**line._asdict(), "after": key_text(line.after)}) + "\n" for line in lines
    )
    temporary = f"{path}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)


def stream_of(segment: Segment) -> str | None:
    """The id of the stream that wrote `segment`; None where nothing tells."""
    log_dir = os.path.dirname(segment.path)
    for line in reversed(read_journal(log_dir, segment.stem)):
        if line.after < segment.key:
            return line.stream
    return None


def read_done(log_dir: str, stem: str) -> frozenset[str]:
    """The base names of a stem's segments whose upload is confirmed."""
    try:
        with open(sidecar(log_dir, stem, "done"), encoding="utf-8", errors="replace") as file:
            return frozenset(line.strip() for line in file)
    except OSError:
        return frozenset()
