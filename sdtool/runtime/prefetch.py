"""Let a producer work ahead of its consumer: a thread beside, and a queue that bounds it."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
_END = object()


def prefetch(items: Iterable[Item], depth: int = 2) -> Iterator[Item]:
    """Yield `items` as they are, drawn in a thread that is at most `depth` of them ahead.

    What drawing raises is raised here. The thread ends with this generator, between two items.
    """
    ready: queue.Queue = queue.Queue(depth)
    over = threading.Event()

    def put(item: object) -> None:
        while not over.is_set():
            try:
                return ready.put(item, timeout=0.2)
            except queue.Full:
                pass

    def draw() -> None:
        source = iter(items)
        try:
            for item in source:
                put((item, None))
                if over.is_set():
                    return
        except BaseException as error:
            put((None, error))
        finally:
            if hasattr(source, "close"):
                source.close()
            put(_END)

    thread = threading.Thread(target=draw, daemon=True)
    thread.start()
    try:
        while (message := ready.get()) is not _END:
            item, error = message
            if error is not None:
                raise error
            yield item
    finally:
        over.set()
        thread.join(timeout=10)
