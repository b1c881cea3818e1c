"""`python -m laketrace`: the command line.

Floor 8. Stands on: cli.
"""

from __future__ import annotations

import sys

from laketrace.cli import main

sys.exit(main())
