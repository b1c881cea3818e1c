"""A segment becomes a whole archive or stays what it is."""

from __future__ import annotations

import gzip
import os
import resource
import stat
import subprocess
import sys
import threading
import time
import zipfile

import pytest

from laketrace.files import compression
from laketrace.files.compression import Compression, open_archive, parse_compression

KINDS = ["gz", "bz2", "xz", "zip"]
if sys.version_info >= (3, 14):
    KINDS.append("zst")
CONTENT = b"".join(b'{"message": "table loaded", "rows": %d}\n' % row for row in range(20_000))


@pytest.fixture
def segment(tmp_path):
    """A finished log file of some 800 kB."""
    path = tmp_path / "orders.log.20260715_102030"
    path.write_bytes(CONTENT)
    path.chmod(0o600)
    return path


def read(path: object) -> bytes:
    """The content of a log file or archive."""
    with open_archive(str(path)) as file:
        return file.read()


@pytest.mark.parametrize(
    ("value", "suffix"),
    [
        ("gz", ".gz"),
        ("GZip", ".gz"),
        (" gz ", ".gz"),
        (".gz", ".gz"),
        ("bz2", ".bz2"),
        ("bzip2", ".bz2"),
        ("xz", ".xz"),
        ("lzma", ".xz"),
        ("ZIP", ".zip"),
    ],
)
def test_kind_of_compression_has_a_suffix(value, suffix):
    """Each name of a kind, in any letter case, leads to its suffix."""
    assert parse_compression(value) == Compression(suffix)


@pytest.mark.parametrize("value", [None, "none", "None", "NONE", "", " "])
def test_none_compresses_nothing(value):
    """None, "none" and "" leave segments as they are."""
    assert parse_compression(value) is None


@pytest.mark.parametrize("value", ["tar.gz", "rar", "7z", True, False, 6, b"gz", ["gz"]])
def test_wrong_compression_is_refused_with_the_way_out(value):
    """What is no kind of compression raises a ValueError with the list of kinds."""
    with pytest.raises(
        ValueError, match=r"is not a kind of compression. Use gz, bz2, xz, zip, zst"
    ):
        parse_compression(value)


@pytest.mark.parametrize("value", ["zst", "zstd"])
def test_zst_needs_an_interpreter_that_has_it(value):
    """Zstandard is taken since Python 3.14 and refused before it, with the reason."""
    if "zst" in KINDS:
        assert parse_compression(value) == Compression(".zst")
    else:
        with pytest.raises(ValueError, match=r"no zst \(Python has it since 3.14\). Use gz, e.g."):
            parse_compression(value)


def test_codecs_are_imported_only_when_used():
    """A program that compresses nothing loads no codec."""
    code = (
        "import sys\n"
        "from laketrace.files import compression, janitor, retention, rotation, units\n"
        "compression.parse_compression('none')\n"
        "heavy = {'bz2', 'compression', 'gzip', 'lzma', 'zipfile', 'zoneinfo', 'difflib'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (result.stdout, result.stderr) == ("[]\n", "")


@pytest.mark.parametrize("kind", KINDS)
def test_archive_replaces_its_segment(segment, kind):
    """The archive has the segment's content, time and rights; nothing else is left."""
    segment.chmod(0o640)
    os.utime(segment, (1_700_000_000, 1_700_000_000))

    archive = parse_compression(kind).compress(str(segment))

    assert archive == f"{segment}.{kind}"
    assert os.listdir(segment.parent) == [os.path.basename(archive)]
    assert read(archive) == CONTENT
    assert os.path.getsize(archive) < len(CONTENT) / 5
    assert stat.S_IMODE(os.stat(archive).st_mode) == 0o640
    assert os.stat(archive).st_mtime == 1_700_000_000


@pytest.mark.parametrize("kind", KINDS)
def test_empty_segment_is_compressed_too(segment, kind):
    """An empty file makes an archive of nothing."""
    segment.write_bytes(b"")

    assert read(parse_compression(kind).compress(str(segment))) == b""


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("gz", ["gzip", "-dc"]),
        ("bz2", ["bzip2", "-dc"]),
        ("xz", ["xz", "-dc"]),
        ("zip", [sys.executable, "-m", "zipfile", "-t"]),
    ],
)
def test_archive_is_one_that_others_read(segment, kind, command):
    """The usual tool of each kind takes the archive."""
    archive = parse_compression(kind).compress(str(segment))
    try:
        result = subprocess.run([*command, archive], capture_output=True, check=True)
    except FileNotFoundError:
        with open_archive(archive) as file:  # no such tool here: Python's own has to do
            assert file.read() == CONTENT
        return

    assert result.stdout == (CONTENT if kind != "zip" else b"Done testing\n")


def test_zip_archive_holds_the_segment_by_name(segment):
    """The member of a zip has the segment's name and rights."""
    archive = parse_compression("zip").compress(str(segment))

    (member,) = zipfile.ZipFile(archive).infolist()

    assert member.filename == segment.name
    assert stat.S_IMODE(member.external_attr >> 16) == 0o600


def test_plain_file_is_opened_as_it_is(segment):
    """A path without an archive's suffix is read as bytes."""
    assert read(segment) == CONTENT


@pytest.mark.parametrize("kind", KINDS)
def test_archive_is_read_line_by_line(segment, kind):
    """An opened archive is a binary file like any other."""
    archive = parse_compression(kind).compress(str(segment))

    with open_archive(archive) as file:
        lines = list(file)

    assert lines == CONTENT.splitlines(keepends=True)


def test_zip_with_several_members_is_no_segment(tmp_path):
    """A foreign zip is refused instead of read in part."""
    path = tmp_path / "orders.log.20260715_102030.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "1")
        archive.writestr("b", "2")

    with pytest.raises(zipfile.BadZipFile, match="holds 2 files instead of one segment"):
        open_archive(str(path))


# -- what is never lost ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_existing_archive_is_never_overwritten(segment, kind):
    """Where a file has the archive's name already, both it and the segment stay."""
    taken = segment.with_name(f"{segment.name}.{kind}")
    taken.write_bytes(b"someone else's")

    with pytest.raises(FileExistsError):
        parse_compression(kind).compress(str(segment))

    assert taken.read_bytes() == b"someone else's"
    assert segment.read_bytes() == CONTENT
    assert sorted(os.listdir(segment.parent)) == sorted([segment.name, taken.name])


def test_existing_archive_is_not_overwritten_without_hard_links(segment, monkeypatch):
    """The same holds on a file system that knows no hard links."""

    def no_hard_links(source, target):
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", no_hard_links)
    taken = segment.with_name(f"{segment.name}.gz")
    taken.write_bytes(b"someone else's")

    with pytest.raises(FileExistsError):
        parse_compression("gz").compress(str(segment))
    taken.unlink()
    archive = parse_compression("gz").compress(str(segment))

    assert os.listdir(segment.parent) == [os.path.basename(archive)]
    assert read(archive) == CONTENT


def test_segment_under_work_elsewhere_is_left_alone(segment):
    """A temporary file of another process stops this one, and stays."""
    other = segment.with_name(f"{segment.name}.gz.tmp")
    other.write_bytes(b"half")

    with pytest.raises(FileExistsError):
        parse_compression("gz").compress(str(segment))

    assert other.read_bytes() == b"half"
    assert segment.read_bytes() == CONTENT


class LateWriter:
    """Codecs during whose work the segment gets another line, `times` times."""

    def __init__(self, path, times):
        self.path = path
        self.times = times
        self.make = compression._compressor

    def __call__(self, suffix):
        if self.times > 0:
            self.times -= 1
            self.inner = self.make(suffix)
            return self
        return self.make(suffix)

    def compress(self, chunk):
        return self.inner.compress(chunk)

    def flush(self):
        with open(self.path, "ab") as file:
            file.write(b'{"message": "late"}\n')
        return self.inner.flush()


def test_segment_that_grows_meanwhile_is_compressed_again(segment, monkeypatch):
    """A line that comes while the archive is made is in the archive."""
    monkeypatch.setattr(compression, "_compressor", LateWriter(segment, times=2))

    archive = parse_compression("gz").compress(str(segment))

    assert read(archive) == CONTENT + b'{"message": "late"}\n' * 2
    assert os.listdir(segment.parent) == [os.path.basename(archive)]


def test_segment_that_never_stops_growing_is_left(segment, monkeypatch):
    """After some attempts the segment stays as it is, with every line, and that is said."""
    monkeypatch.setattr(compression, "_compressor", LateWriter(segment, times=1000))

    with pytest.raises(OSError, match="grows while it is compressed"):
        parse_compression("gz").compress(str(segment))

    assert os.listdir(segment.parent) == [segment.name]
    assert segment.read_bytes().startswith(CONTENT)


@pytest.mark.parametrize("kind", KINDS)
def test_archive_that_the_disk_does_not_take_leaves_the_segment(tmp_path, kind):
    """Where the archive cannot be written (here: a limit on its size), only the segment is left."""
    path = tmp_path / "orders.log.20260715_102030"
    path.write_bytes(os.urandom(1_000_000))
    code = (
        "import os, sys\n"
        "from laketrace.files.compression import parse_compression\n"
        "compression = parse_compression(sys.argv[1])\n"
        "try: compression.compress(sys.argv[2])\n"
        "except OSError as error: print(type(error).__name__, error.errno)\n"
    )

    result = subprocess.run(
        [sys.executable, "-c", code, kind, str(path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
    )

    assert (result.stdout, result.stderr) == ("OSError 27\n", "")
    assert os.listdir(tmp_path) == [path.name]
    assert path.stat().st_size == 1_000_000


def test_segment_that_is_a_link_is_not_followed(tmp_path):
    """A symbolic link in the place of a segment leads nowhere."""
    secret = tmp_path / "secret"
    secret.write_text("of someone else")
    (tmp_path / "logs").mkdir()
    link = tmp_path / "logs" / "orders.log.20260715_102030"
    link.symlink_to(secret)

    with pytest.raises(OSError):
        parse_compression("gz").compress(str(link))

    assert os.listdir(tmp_path / "logs") == [link.name]
    assert secret.read_text() == "of someone else"


def test_segment_that_is_gone_is_said(tmp_path):
    """A segment that retention was quicker to delete raises, and leaves nothing."""
    with pytest.raises(FileNotFoundError):
        parse_compression("gz").compress(str(tmp_path / "orders.log.20260715_102030"))

    assert os.listdir(tmp_path) == []


def test_compression_is_given_up_when_time_is_over(segment):
    """Asked to give up, it puts everything back and names the segment."""
    asked = []

    def give_up() -> bool:
        asked.append(True)
        return True

    path = parse_compression("gz").compress(str(segment), give_up)

    assert path == str(segment)
    assert os.listdir(segment.parent) == [segment.name]
    assert asked


@pytest.mark.parametrize("kind", KINDS)
def test_other_threads_go_on_while_an_archive_is_made(tmp_path, kind):
    """Compression gives up the interpreter lock, so another thread is never held up for long."""
    most = 0
    for number in range(10):  # of which one at least has this thread running all the time
        path = tmp_path / f"orders.log.20260715_10203{number}"
        path.write_bytes(CONTENT * 8)
        worker = threading.Thread(target=parse_compression(kind).compress, args=(str(path),))
        worker.start()
        steps = 0
        while worker.is_alive():
            time.sleep(0)  # gives the lock away and needs it back, as a log call does
            steps += 1
        most = max(most, steps)
        if most > 100:
            break

    assert most > 100


# -- functions of the user -------------------------------------------------------------------------


def test_function_gets_the_path_and_its_archive_replaces_the_segment(segment):
    """Where a function leaves an archive beside the segment, the segment goes."""
    given = []

    def with_gzip(path: str) -> None:
        given.append(path)
        with gzip.open(f"{path}.gz", "wb") as file:
            file.write(read(path))
        os.chmod(f"{path}.gz", 0o644)

    archive = parse_compression(with_gzip).compress(str(segment))

    assert given == [str(segment)]
    assert archive == f"{segment}.gz"
    assert os.listdir(segment.parent) == [f"{segment.name}.gz"]
    assert read(archive) == CONTENT
    assert stat.S_IMODE(os.stat(archive).st_mode) == 0o600


def test_function_may_remove_the_segment_itself(segment):
    """A function that moves everything is believed."""

    def with_gzip(path: str) -> None:
        with gzip.open(f"{path}.gz", "wb") as file:
            file.write(read(path))
        os.unlink(path)

    assert read(parse_compression(with_gzip).compress(str(segment))) == CONTENT


@pytest.mark.parametrize("left", ["nothing", "an older archive", "an unknown archive"])
def test_function_that_leaves_no_archive_of_ours_costs_no_record(segment, left):
    """Unless the records are in an archive that can be read, the segment stays."""
    if left == "an older archive":
        segment.with_name(f"{segment.name}.gz").write_bytes(b"older")

    def careless(path: str) -> None:
        if left == "an unknown archive":
            with open(f"{path}.7z", "wb") as file:
                file.write(b"7z")

    assert parse_compression(careless).compress(str(segment)) == str(segment)
    assert segment.read_bytes() == CONTENT


def test_function_that_raises_costs_no_record(segment):
    """The error of a function reaches the background thread; the segment stays."""

    def failing(path: str) -> None:
        with open(f"{path}.gz", "wb") as file:
            file.write(b"half")
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        parse_compression(failing).compress(str(segment))

    assert segment.read_bytes() == CONTENT
