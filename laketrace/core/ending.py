"""What runs when the process ends, also one that `multiprocessing` has started.

Floor 1. Stands on: nothing.

The children of `multiprocessing` end with `os._exit`: before Python 3.13 those that are forked run
no `atexit`, but they run the finalizers of `multiprocessing.util`. A child begins by forgetting its
parent's finalizers and then calls what asked for that with `register_after_fork`; so the callback
is registered anew in each child. It runs once a process, whichever way it is reached.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from typing import Any


class AtExit:
    """Calls a function at the end of this process and of each child forked from it.

    >>> AtExit(lambda: None).run()
    """

    def __init__(self, callback: Callable[[], object]) -> None:
        self._callback = callback
        self._ended = 0  # the process in which it has run
        atexit.register(self.run)
        self._follow_multiprocessing()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._follow_multiprocessing)

    def run(self) -> None:
        """Call it, unless that has been done in this process."""
        if self._ended != os.getpid():
            self._ended = os.getpid()
            self._callback()

    def _follow_multiprocessing(self) -> None:
        util: Any = sys.modules.get("multiprocessing.util")
        process: Any = sys.modules.get("multiprocessing.process")
        if util is None or process is None:
            return  # nobody here has started, or was started as, a child of it
        util.register_after_fork(self, AtExit._add_finalizer)
        if process.parent_process() is not None:
            self._add_finalizer()

    def _add_finalizer(self) -> None:
        sys.modules["multiprocessing.util"].Finalize(None, self.run, exitpriority=0)
