"""Order of the explorer's work: handlers one after the other, networks in a thread next to them.

A network takes seconds on a busy machine. Meanwhile, the controls keep working, and a new question cancels
the unfinished one of the same part.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any


class Turns:
    """Runs handlers in the thread of the kernel's cells, and networks in one other thread.

    JupyterLab lets a kernel handle the messages of each widget in a separate thread (subshells), so a click
    could interrupt a drawing. Without an event loop, as in a script, everything runs at once in one thread.
    """

    def __init__(self):
        self._home = threading.get_ident()
        self._asked: dict[str, asyncio.Task] = {}
        self._worker = ThreadPoolExecutor(1)
        try:
            self.loop = asyncio.get_running_loop()
        except RuntimeError:  # not in a kernel
            self.loop = None

    def __call__(self, act: Callable[..., None]) -> Callable[..., None]:
        """Return a handler that runs at once in this thread, and is queued from another thread."""

        def handle(*arguments) -> None:
            if self.loop is None or threading.get_ident() == self._home:
                act(*arguments)
            else:
                self.loop.call_soon_threadsafe(act, *arguments)

        return handle

    def ask(self, asker: str, answer: Coroutine[Any, Any, None]) -> None:
        """Start an answer, which cancels the unfinished answer to the same asker."""
        if self.loop is None:
            try:
                answer.send(None)  # `compute` does not wait, so the answer ends here
            except StopIteration:
                return
        if asker in self._asked:
            self._asked[asker].cancel()
        task = self._asked[asker] = self.loop.create_task(answer)
        task.add_done_callback(lambda done: done.cancelled() or done.result())  # the loop logs an exception

    async def compute(self, work: Callable[[], Any]) -> Any:
        """Return the result of work that takes time; handlers run meanwhile."""
        return work() if self.loop is None else await self.loop.run_in_executor(self._worker, work)

    def wait(self, work: Callable[[], Any]) -> Any:
        """Return the result of work that runs networks; handlers wait too."""
        return self._worker.submit(work).result()
