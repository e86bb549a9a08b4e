"""Something for the worker to do that is not an answer."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import Future

from chains.llm.runtime import Interrupted
from xoe.errors import EngineNotReadyError


class Task:
    """An action to run in the worker's thread; its ``future`` may be awaited in any loop."""

    def __init__(self, action: Callable[[], int]) -> None:
        """Take what is to be done, which returns a number or raises."""
        self._action = action
        self.future: Future[int] = Future()

    def run(self) -> Callable[[], None]:
        """Run the action unless nobody waits for it any more; return what tells the result."""
        if not self.future.set_running_or_notify_cancel():
            return lambda: None
        try:
            result = self._action()
        except Interrupted:
            return lambda: self.future.set_exception(shut_down())
        except Exception as exc:  # noqa: BLE001 - raised again where the result is awaited
            return functools.partial(self.future.set_exception, exc)
        return lambda: self.future.set_result(result)

    def refuse(self) -> None:
        """Say that the worker has stopped."""
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(shut_down())


def shut_down() -> EngineNotReadyError:
    """Return the error for what was under way when the engine was stopped."""
    return EngineNotReadyError("The model has been shut down.")
