"""The order of an upload, step by step, and the place where a test can stop it dead.

Floor 7. Stands on: nothing.

For one directory, in this order:

    locked      the directory's upload lock is held (or cannot be had, and is done without)
    recovered   what dead processes left active is finished
    listed      the settled segments and the ledger are read; then their names are made durable
  then for each stream, where there is a target, for each segment in order:
    planned     name, form and digest of the copy are durable in the ledger
    sending     half of the copy is on its way
    sent        the store has acknowledged the copy
    verified    the copy was read back and has the planned digest
    copied      the ledger says that the copy is there
  and when all of them are:
    manifested  the manifests of the runs name the new copies
    recorded    the ledger says that they do
  where there is a table, for each commit:
    reading     the version that the table holds of this stream is known; Spark's writer asks for
                it by itself, so there the rows of the commit are read, and it begins
    writing     a part of the rows is on its way, or ready for it
    committed   the table has acknowledged the commit
    confirmed   for each segment that is in it whole: the ledger says so
  and then:
    done        `<stem>.done` names what is confirmed everywhere
    deleted     a confirmed local segment is removed, where that is wanted

A crash between any two of them costs work, never a record: names come from identity, the table's
own transaction record is asked before each commit, and each ledger line is one write.

The environment variable LAKETRACE_TEST_CRASH_AT, which only tests set, kills the process (SIGKILL)
when it comes to a step for the nth time: `committed` or `committed:3`.
"""

from __future__ import annotations

import os

STEPS = (
    "locked", "recovered", "listed", "planned", "sending", "sent", "verified", "copied",
    "manifested", "recorded", "reading", "writing", "committed", "confirmed", "done", "deleted",
)  # fmt: skip

_name, _, _count = os.environ.get("LAKETRACE_TEST_CRASH_AT", "").partition(":")
_left = int(_count or 1) if _name else 0


def step(name: str) -> None:
    """Pass a step of the list above; a test may have the process end here.

    >>> step("locked")
    """
    global _left
    if _left and name == _name:
        _left -= 1
        if not _left:
            os.kill(os.getpid(), 9)
