"""The module path of 1.x: what `from laketrace.logger import ...` asks for.

Floor 6. Stands on: core.logger, setup.
"""

from __future__ import annotations

from laketrace.core.logger import Logger
from laketrace.setup import create_logger, get_logger

__all__ = ["Logger", "create_logger", "get_logger"]
