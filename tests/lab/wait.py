"""Waiting for something to become true, with a deadline. The only place in the lab that sleeps.

The guest is emulated: it is ten to thirty times slower than the machine it runs on, and shares it. Deadlines are
there to end a hopeless wait, never to measure; no scenario asserts how long anything took.
"""
import time
from typing import Callable, TypeVar

DEADLINE = 180.0

T = TypeVar("T")


def wait_for(what: str, condition: Callable[[], T], deadline: float = DEADLINE, every: float = 0.2) -> T:
    """Polls `condition` until it gives something true and returns that. AssertionError with `what` otherwise.

    An exception that means "not yet" (a refused connection, a missing file) is `OSError` and counts as false.
    """
    end, last = time.monotonic() + deadline, None
    while True:
        try:
            last = condition()
            if last:
                return last
        except OSError as error:
            last = error
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline:.0f} s for {what}; last: {last!r}")
        time.sleep(every)
