"""Requests that wait for a thread, answered several at a time.

A model's weights pass through a core's memory once for a batch of drawings, not once for each. A
request that finds a free thread is answered at once, by itself.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from sketchjax.serving.limits import Workers

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batches(Generic[Item, Result]):
    """Items that the threads of a server take several at a time.

    work: gives the results of some items in their order, each as soon as it is there; an exception
      in place of one that failed.
    most: items at a time.
    workers: whose threads work.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Iterator[Result | Exception]],
        most: int,
        workers: Workers,
    ):
        self._work, self._most, self._workers = work, most, workers
        self._waiting: deque[tuple[Item, Future[Result]]] = deque()
        self._turns = 0  # that have a thread or wait for one
        self._lock = threading.Lock()  # of both

    async def run(self, item: Item) -> Result:
        """The result of one item.  Raises Refused (503) where too many wait."""
        self._workers.check_room()
        future = Future[Result]()
        self._workers.admit(future)
        with self._lock:
            self._waiting.append((item, future))
            needed = self._turns < self._workers.threads
            self._turns += needed
        if needed:
            self._workers.start(self._turn)
        return await asyncio.wrap_future(future)

    def _turn(self) -> None:
        """Work on this thread's share of what waits; where more waits then, another turn does."""
        with self._lock:
            share = min(-(-len(self._waiting) // self._workers.threads), self._most)
            taken = [self._waiting.popleft() for _ in range(share)]
        try:
            # Without those whose clients left.
            self._answer([each for each in taken if each[1].set_running_or_notify_cancel()])
        finally:
            with self._lock:
                is_last = not self._waiting
                self._turns -= is_last
            if not is_last:
                self._workers.start(self._turn)  # after other work that waits for a thread

    def _answer(self, taken: list[tuple[Item, Future[Result]]]) -> None:
        futures = iter([future for _, future in taken])
        try:
            for result in self._work([item for item, _ in taken]):
                future = next(futures)
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)
        except Exception as error:
            for future in futures:
                future.set_exception(error)
