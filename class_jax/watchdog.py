"""The end of a process whose partner is lost, with a sentence instead of JAX's abort.

The processes keep the connections on which they met (`handshake.py`). The system closes them when
a process ends, however it ends. One that leaves in good order says so before.
"""

import os
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from class_jax.handshake import Link

LOST_STATUS = 1
GRACE_SECONDS = 20  # to end by itself, for a process that hears that another has stopped
NOTICE_SECONDS = 2  # in which the loss of a process is noticed


class Watchdog:
    """Ends this process with a sentence when another one is lost or has failed.

    Process 0 is connected with all others, and tells them.
    """

    def __init__(self, process: int, links: Mapping[int, Link]) -> None:
        """Watch the processes that `links` lead to, from now on; `process` is this one."""
        self._process, self._links = process, links
        self._ending = threading.Lock()
        for other, link in links.items():
            threading.Thread(target=self._watch, args=(other, link), daemon=True).start()

    def say_farewell(self, status: int) -> None:
        """Tell the others that this process ends, and how."""
        self._tell_all(ended=self._process, status=status)

    def wait(self) -> None:
        """Give the watchdog time to end this process, if its error comes of a lost one."""
        time.sleep(NOTICE_SECONDS)

    def _watch(self, other: int, link: Link) -> None:
        """Wait for news of another process, and for its loss, until it leaves in good order."""
        left = False
        while True:
            try:
                message = link.receive()
            except (OSError, ValueError):
                message = None
            if message is None:
                break
            if "lost" in message:
                self._end_for_loss(message["lost"])
            left = left or message["ended"] == other
            if message["status"]:
                threading.Thread(target=self._end_after, kwargs=message, daemon=True).start()
        if not left:
            self._end_for_loss(other)

    def _end_for_loss(self, lost: int) -> None:
        self._leave(
            f"process {lost} was lost (killed, or its machine or network failed): run the same "
            "command in all processes to go on.",
            LOST_STATUS,
            lost=lost,
        )

    def _end_after(self, ended: int, status: int) -> None:
        """End this process, too, if it has not done so by itself."""
        if self._process == 0:
            self._tell_all(ended=ended, status=status)
        time.sleep(GRACE_SECONDS)
        self._leave(f"process {ended} has stopped, and says why.", status)

    def _leave(self, sentence: str, status: int, **news: Any) -> None:
        """Print a sentence and end this process at once: its main thread may wait for ever."""
        with self._ending:  # the first has the word; none comes back
            if self._process == 0 and news:
                self._tell_all(**news)
            print(f"\nerror: {sentence}", file=sys.stderr, flush=True)  # below a progress bar
            sys.stdout.flush()
            if self._process == 0:
                time.sleep(1)  # JAX would abort the others before they have said it
            os._exit(status)

    def _tell_all(self, **message: Any) -> None:
        for link in self._links.values():
            try:
                link.send(**message)
            except OSError:
                continue  # it is gone itself
