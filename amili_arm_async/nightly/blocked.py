"""Customers that did not succeed, and their documents, which are not sent because they would fail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from ..bulk.chunking import RecordType
from ..bulk.observers import RunObserver
from ..bulk.outcomes import BatchOutcome, Outcome, success_states
from ..errors import ArmError
from ..models.documents import Document
from .customer_numbers import CustomerNumbers

if TYPE_CHECKING:
    from ..bulk.journal.protocol import RunJournal

__all__ = ["BlockedDocuments", "FailedCustomers"]

_AT_ONCE: Final = 500


class FailedCustomers(RunObserver):
    """Observes a run of customers and remembers the numbers of those that did not succeed.

    The last record of a customer in the source decides: a success after a failure removes it.

    Args:
        accepted_is_enough: whether `accepted` counts as success, as in a run with `results="accepted"`.

    Attributes:
        nameless: how many records without a number did not succeed: no document can refer to them.
        complete: whether the source was read to its end, or as far as the run was limited to; if not, there may be further customers.
    """

    def __init__(self, *, accepted_is_enough: bool = False) -> None:
        self.nameless = 0
        self.complete = False
        self._success_states = success_states(accepted_is_enough=accepted_is_enough)
        self._failed = CustomerNumbers()
        # Of a resumed run, the customers that succeeded: the result of an older record may come after that of the last one.
        self._succeeded: CustomerNumbers | None = None

    def __len__(self) -> int:
        return len(self._failed)

    async def begin(self) -> None:
        """Starts: the source has not been read to its end."""
        self.complete = False

    async def begin_journal(self, journal: RunJournal) -> None:
        """Remembers in a resumed run who succeeded, too."""
        if journal.is_resumed:
            self._succeeded = CustomerNumbers()

    async def end(self, *, complete: bool) -> None:
        """Notes whether the source was read to its end."""
        self.complete = complete
        self._succeeded = None

    def on_settled(self, outcome: BatchOutcome) -> None:
        """Records the final state of customers."""
        if not outcome.exceptions and outcome.common.state in self._success_states:
            if len(self._failed) or self._succeeded is not None:
                self._take(_by_number(outcome.keys, outcome.indexes), {})
            return
        succeeded: dict[str, int] = {}
        failed: dict[str, int] = {}
        for position, (key, index) in enumerate(zip(outcome.keys, outcome.indexes, strict=True)):
            is_success = outcome.exceptions.get(position, outcome.common).state in self._success_states
            if key is None:
                self.nameless += not is_success
                continue
            # Within a batch, too, the last record in the source decides.
            name = key.casefold()
            now, before = (succeeded, failed) if is_success else (failed, succeeded)
            if index >= max(now.get(name, -1), before.get(name, -1)):
                before.pop(name, None)
                now[name] = index
        self._take(succeeded, failed)

    def _take(self, succeeded: Mapping[str, int], failed: Mapping[str, int]) -> None:
        if self._succeeded is not None:
            self._succeeded.add(succeeded)
            newer: dict[str, int] = {}
            # Where that can't be read, documents are blocked: better one that waits for the next night than one that is billed.
            with suppress(ArmError):
                newer = self._succeeded.places(failed)
            failed = {name: index for name, index in failed.items() if newer.get(name, -1) < index}
        self._failed.remove(succeeded)
        self._failed.add(failed)

    def names(self) -> Iterator[str]:
        """Gives the numbers of the customers that did not succeed, in lower case.

        Raises:
            ArmError: the temporary file can't be read.
        """
        return self._failed.names()

    def restore(self, names: Iterable[str]) -> None:
        """Takes in the numbers that another process found; its source was read to its end.

        Args:
            names: as `names` gave them.
        """
        left = iter(names)
        while some := dict.fromkeys(islice(left, _AT_ONCE), 0):
            self._failed.add(some)
        self.complete = True

    def among(self, names: Iterable[str]) -> set[str]:
        """Returns those of the given customers that did not succeed.

        Args:
            names: their numbers in lower case.

        Returns:
            The numbers of those that did not succeed.

        Raises:
            ArmError: the temporary file can't be read.
        """
        return set(self._failed.places(names))


def _by_number(keys: Sequence[str | None], indexes: Sequence[int]) -> dict[str, int]:
    return {key.casefold(): index for key, index in zip(keys, indexes, strict=True) if key is not None}


class BlockedDocuments(RunObserver):
    """Filters the documents of customers that did not succeed out of a run: they are `blocked`, reason `customer_failed`.

    A document without a `customerNo`, or one that can't be read, passes.

    Args:
        failed: the observer of the run of the customers, which is over.
    """

    def __init__(self, failed: FailedCustomers) -> None:
        self._failed = failed

    async def filter(self, records: Sequence[Any], first: int) -> Mapping[int, Outcome]:
        """Returns the outcome of each document whose customer did not succeed, by its position in `records`."""
        if not len(self._failed):
            return {}
        named = [key.casefold() if key is not None else None for key in _customers_of(records)]
        found = self._failed.among(name for name in named if name is not None)
        if not found:
            return {}
        keys = list(_customers_of(records))
        return {position: _outcome(keys[position]) for position, name in enumerate(named) if name in found}


def _outcome(key: str | None) -> Outcome:
    return Outcome("blocked", "customer_failed", f"customer {key} did not succeed")


_DOCUMENT: Final = RecordType(Document, "customer_no")


def _customers_of(records: Sequence[Any]) -> Iterator[str | None]:
    """Gives the customer number of each document; None where it has none."""
    for record in records:
        try:
            yield _DOCUMENT.key_of(record)
        except Exception:  # an object of the caller's may raise anything while it is read; the chunker says what is wrong with it
            yield None
