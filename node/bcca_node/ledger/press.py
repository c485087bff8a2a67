"""Group commit: what many publish at the same time is entered in one turn, under one head.

One commit reaches the disk for all who wait for it, so a busy node publishes many times as often
as its disk can be written to.
"""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from threading import Condition

from bcca_node.ledger.batch import Batch, Published
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import sign
from bcca_node.ledger.sign import Predicate, SignedStatement
from bcca_node.ledger.turn import turn
from bcca_protocol.errors import UnusableError

MAX_TOGETHER = 1_000  # statements in one turn: a second at most for whoever comes next


class Press:
    """Publishes for many threads of this process at once."""

    def __init__(self, node: Node) -> None:
        """Publish in the log of `node`."""
        self._node = node
        self._waiting: deque[_Request] = deque()
        self._is_printing = False
        self._changed = Condition()

    def publish(self, predicates: Sequence[Predicate]) -> list[Published]:
        """Do as `publish.publish` does; what is refused of another request is not refused of this.

        It returns once the statements are durable. Signing waits for nobody.
        """
        request = _Request(sign(self._node, predicates))
        with self._changed:
            self._waiting.append(request)
        # Whoever comes first prints for all who wait by then; they find it done.
        while self._is_next(request):
            try:
                self._print()
            finally:
                with self._changed:
                    self._is_printing = False
                    self._changed.notify_all()
        return request.answer.result()

    @property
    def waiting(self) -> int:
        """How many requests are still to be taken."""
        return len(self._waiting)

    @property
    def is_printing(self) -> bool:
        """Say whether somebody has the turn, or asks for it."""
        return self._is_printing

    def _is_next(self, request: "_Request") -> bool:
        """Wait for the answer, or for the right to print; say whether it is that."""
        with self._changed:
            while self._is_printing and not request.answer.done():
                self._changed.wait()
            if request.answer.done():
                return False
            self._is_printing = True
            return True

    def _print(self) -> None:
        """Enter what is waiting, and answer it once it is durable."""
        requests = self._taken()
        try:
            refused = self._enter(requests)
        except BaseException as error:
            for each in requests:
                each.answer.set_exception(error)
            return
        for each in requests:
            if each in refused:
                each.answer.set_exception(refused[each])
            else:
                each.answer.set_result(each.published)

    def _enter(self, requests: Sequence["_Request"]) -> dict["_Request", UnusableError]:
        """Enter all that may be entered; return why the rest may not."""
        refused: dict[_Request, UnusableError] = {}
        with turn(self._node) as held:
            batch = Batch(held, [signed for each in requests for signed in each.signed])
            for each in requests:
                try:
                    batch.enter(each.signed)
                except UnusableError as error:
                    refused[each] = error
            batch.store()
            for each in requests:
                if each not in refused:
                    each.published = batch.published(each.signed)
        return refused

    def _taken(self) -> list["_Request"]:
        """Return the first of those that wait, at least one."""
        with self._changed:
            taken = [self._waiting.popleft()]
            count = len(taken[0].signed)
            while self._waiting and count + len(self._waiting[0].signed) <= MAX_TOGETHER:
                taken.append(self._waiting.popleft())
                count += len(taken[-1].signed)
        return taken


class _Request:
    """What one caller publishes, and waits for."""

    def __init__(self, signed: Sequence[SignedStatement]) -> None:
        self.signed = signed
        self.published: list[Published] = []
        self.answer: Future[list[Published]] = Future()
