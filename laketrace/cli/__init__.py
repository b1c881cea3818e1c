"""The command line: `laketrace demo`, `doctor`, `tail`, `query`, `upload`.

Floor 7. Stands on: cli.commands, cli.terminal, core.console, errors.

Exit codes: 0 done, 1 it found problems or failed, 2 wrong usage. A command is imported when it is
used; what it needs beyond the standard library it asks for itself, with the command that installs
it in the error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from laketrace.cli.commands import parse
from laketrace.cli.terminal import DONE, FAILED, WRONG_USAGE, Output, UsageError
from laketrace.core.console import ESCAPE
from laketrace.errors import ConfigError, LakeTraceError

__all__ = ["main"]

_INTERRUPTED = 130  # as shells do: 128 + SIGINT


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, `sys.argv[1:]` by default; the exit code.

    >>> main(["tail", "-n", "many"])
    2
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that cannot show a character escapes it
            stream.reconfigure(errors=ESCAPE)
    words = sys.argv[1:] if arguments is None else list(arguments)
    out = Output("--json" in words)
    try:
        options = parse(words)
        code: int = options.run(options, out)
        sys.stdout.flush()
        return code
    except SystemExit:  # the help or the version has been shown
        return DONE
    except (UsageError, ConfigError) as error:
        out.fail(error)
        return WRONG_USAGE
    except BrokenPipeError:  # whoever read our output had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (LakeTraceError, OSError) as error:
        out.fail(error)
        return FAILED
    except KeyboardInterrupt:
        return _INTERRUPTED
