"""`log.catch`: exceptions are logged where they pass, in every kind of function.

Floor 1. Stands on: nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from laketrace.core.logger import Logger

F = TypeVar("F", bound=Callable[..., Any])
Kinds = type[BaseException] | tuple[type[BaseException], ...]


class Catcher:
    """A context manager (also `async with`) and decorator; see `Logger.catch`."""

    message = "an error has been caught"

    def __init__(
        self,
        log: Logger,
        level: str | int,
        exception: Kinds,
        exclude: Kinds,
        reraise: bool,
        default: Any,
        onerror: Callable[[BaseException], object] | None,
    ) -> None:
        self._log = log
        self._level = level
        self._exception = exception
        self._exclude = exclude
        self._reraise = reraise
        self._default = default
        self._onerror = onerror

    def __enter__(self) -> Catcher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if error is None or not isinstance(error, self._exception):
            return False
        if isinstance(error, self._exclude):
            return False
        self._log.log(self._level, self.message, exc_info=error)
        if self._onerror is not None:
            self._onerror(error)
        return not self._reraise

    async def __aenter__(self) -> Catcher:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        return self.__exit__(kind, error, trace)

    def __call__(self, function: F) -> F:
        """Wrap a function of any kind."""
        return cast(F, self._wrapped(function))

    def _wrapped(self, function: Callable[..., Any]) -> Callable[..., Any]:
        import inspect

        if inspect.iscoroutinefunction(function):
            return self._coroutine(function)
        if inspect.isasyncgenfunction(function):
            return self._async_generator(function)
        if inspect.isgeneratorfunction(function):
            return self._generator(function)

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)
            return self._default

        return wrapper

    def _coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self:
                return await function(*args, **kwargs)
            return self._default

        return wrapper

    def _generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self:
                return (yield from function(*args, **kwargs))
            return self._default

        return wrapper

    def _async_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self:
                generator = function(*args, **kwargs)
                step = generator.asend(None)
                try:
                    while True:
                        try:
                            item = await step
                        except StopAsyncIteration:
                            return
                        try:
                            step = generator.asend((yield item))
                        except GeneratorExit:
                            raise
                        except BaseException as error:  # what is thrown in is for the function
                            step = generator.athrow(error)
                finally:
                    await generator.aclose()

        return wrapper
