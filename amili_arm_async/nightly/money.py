"""Counts and sums the money of a run exactly, per currency and final state, and checks that it adds up."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow, Underflow, localcontext
from functools import reduce
from itertools import repeat
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from ..bulk.observers import RunObserver
from ..bulk.outcomes import STATES, BatchOutcome, State
from ..bulk.record_amounts import NO_TOTAL, SCALE, RecordAmounts, with_cents
from .amounts import EXACT, DocumentAmounts, currency_of, headers_of, read_amounts

if TYPE_CHECKING:
    from ..bulk.report import BulkReport

__all__ = ["CurrencyTotals", "MoneyObserver", "MoneySum", "MoneyTotals"]

_FEW: Final = 16
# Raises for what is no whole number of ten thousandths, and before an exponent makes an integer without end of it.
_SMALL: Final = Context(prec=60, Emax=60, Emin=-60, traps=[Inexact, InvalidOperation, Overflow, Underflow])


@dataclass(frozen=True, slots=True)
class MoneySum:
    """Documents and their money.

    Attributes:
        count: number of the documents, those without a total among them.
        total: sum of their totals, exact, in the main unit of the currency; None where none of them has a total.
    """

    count: int = 0
    total: Decimal | None = None


@dataclass(frozen=True, slots=True)
class CurrencyTotals:
    """The documents of one currency.

    Attributes:
        currency: three letters; None for the documents whose `currency` is missing or no three letters: their totals are summed up too,
            whatever they may be in.
        read: those that were read.
        states: those that ended in each final state; only states that occur.
    """

    currency: str | None
    read: MoneySum
    states: Mapping[State, MoneySum]


@dataclass(frozen=True, slots=True)
class MoneyTotals:
    """The money of a run.

    Attributes:
        currencies: the currencies by name; None is the last.
        without_total: documents that have no total, in the header or by their lines.
        without_currency: documents that have no currency.
        made_from_lines: documents whose total was made by adding up their lines, because the header has none.
        adds_up: whether count and money of what was read are those of all final states, for each currency: both are summed up by
            themselves and then compared, and the counts with the report's, where there is one. False while records are under way.
    """

    currencies: tuple[CurrencyTotals, ...]
    without_total: int
    without_currency: int
    made_from_lines: int
    adds_up: bool


@dataclass(slots=True)
class _Sum:
    """A growing sum: ten-thousandths as an integer, and separately what can't be expressed so."""

    count: int = 0
    with_total: int = 0
    scaled: int = 0
    odd: Decimal = Decimal(0)

    def total(self) -> Decimal | None:
        if not self.with_total:
            return None
        return EXACT.add(EXACT.divide(Decimal(self.scaled), SCALE), self.odd)

    def frozen(self) -> MoneySum:
        total = self.total()
        return MoneySum(self.count, with_cents(total) if total is not None else None)


@dataclass(slots=True)
class _Slice:
    """What is kept of records in flight: eight bytes for a total, and two for a currency if there is more than one.

    Attributes:
        first: index of the first of them in the source.
        totals: in ten-thousandths; `NO_TOTAL` where there is none, 0 where it is in `odd`.
        currencies: the number of each one's currency, or the one that all have.
        odd: by position, totals that are too large or have too many decimals.
        from_lines: the positions of those whose total was made by adding up their lines.
        left: how many have no final state yet.
    """

    first: int
    totals: array[int]
    currencies: array[int] | int
    odd: dict[int, Decimal]
    from_lines: set[int]
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.left = len(self.totals)


class _Currencies(dict[Any, int]):
    """A number for each currency, by its spelling in a document; 0 for none."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str | None] = [None]

    def __missing__(self, text: Any) -> int:
        name = currency_of(text)
        if name is None:
            return 0
        number = self.get(name)
        if number is None:
            number = self[name] = len(self.names)
            self.names.append(name)
        return number


class MoneyObserver(RunObserver):
    """Observes a run of documents and sums up their money.

    A document's total is `currencyAmounts.inclVat` of its header. If there is none, it is the sum of its lines, if each of them has an
    `inclVat` or is only text; otherwise the document is counted without a total, and so is one that can't be read.
    """

    def __init__(self) -> None:
        self._currencies = _Currencies()
        self._read: dict[int, _Sum] = {}
        self._ended: dict[State, dict[int, _Sum]] = {}
        self._firsts: list[int] = []
        self._slices: dict[int, _Slice] = {}
        self._without_total = 0
        self._from_lines = 0
        self._strays = 0
        # The sum of the indexes of all records that were read, minus those of all that were settled: 0 if each was settled once, and
        # none twice in place of another with the same amount.
        self._index_balance = 0

    # --- what is read -----------------------------------------------------------------------------------------------------

    def on_read(self, records: Sequence[Any], first: int) -> None:
        """Adds records that were read."""
        if not records:
            return
        totals, numbers, odd, from_lines = array("q"), array("H"), dict[int, Decimal](), set[int]()
        if not self._add_fast(records, totals, numbers):
            # One that is not as the others must not make all of them slow.
            for start in range(0, len(records), _FEW):
                part = records[start : start + _FEW]
                if not self._add_fast(part, totals, numbers):
                    self._add_one_by_one(part, totals, numbers, odd, from_lines)
        alike = numbers.count(numbers[0]) == len(numbers)
        self._slices[first] = _Slice(first, totals, numbers[0] if alike else numbers, odd, from_lines)
        insort(self._firsts, first)
        self._index_balance += len(records) * first + len(records) * (len(records) + 1) // 2

    def _add_fast(self, records: Sequence[Any], into: array[int], currencies: array[int]) -> bool:
        """Takes in records that all are as they nearly always are; False, with nothing done, where one is not."""
        headers = headers_of(records)
        if headers is None:
            return False
        names, totals = headers
        try:
            scaled = array("q", map(int, map(_SMALL.to_integral_exact, map(_SMALL.multiply, totals, repeat(SCALE)))))
            numbers = array("H", map(self._currencies.__getitem__, names))
        except (ArithmeticError, ValueError, TypeError):
            return False
        if NO_TOTAL in scaled:
            return False
        # Summed up by themselves, and not from what is kept: else nothing would be checked.
        with localcontext(EXACT):
            if numbers.count(numbers[0]) == len(numbers):
                self._add_read(numbers[0], totals)
            else:
                for number in set(numbers):
                    self._add_read(number, [total for total, other in zip(totals, numbers, strict=True) if other == number])
        into.extend(scaled)
        currencies.extend(numbers)
        return True

    def _add_one_by_one(
        self, records: Sequence[Any], into: array[int], currencies: array[int], odd: dict[int, Decimal], from_lines: set[int]
    ) -> None:
        for record in records:
            reading = read_amounts(record)
            number = self._currencies[reading.currency]
            self._count_read(number, reading)
            scaled = _scaled(reading.total)
            if scaled is None and reading.total is not None:
                odd[len(into)] = reading.total
            if reading.from_lines:
                from_lines.add(len(into))
            into.append(scaled or 0)
            currencies.append(number)

    def _add_read(self, number: int, totals: list[Decimal]) -> None:
        into = self._read.setdefault(number, _Sum())
        into.count += len(totals)
        into.with_total += len(totals)
        into.odd = sum(totals, into.odd)

    def _count_read(self, number: int, reading: DocumentAmounts) -> None:
        into = self._read.setdefault(number, _Sum())
        into.count += 1
        self._from_lines += reading.from_lines
        if reading.total is None:
            self._without_total += 1
        else:
            into.with_total += 1
            into.odd = EXACT.add(into.odd, reading.total)

    # --- what became of it ------------------------------------------------------------------------------------------------

    def on_settled(self, outcome: BatchOutcome) -> None:
        """Adds the final state of records."""
        if not outcome.exceptions:
            self._settle(outcome.common.state, outcome.indexes)
            return
        by_state: dict[State, list[int]] = {}
        for position, index in enumerate(outcome.indexes):
            one = outcome.exceptions.get(position, outcome.common)
            by_state.setdefault(one.state, []).append(index)
        for state, indexes in by_state.items():
            self._settle(state, indexes)

    def _settle(self, state: State, indexes: Sequence[int]) -> None:
        self._index_balance -= sum(indexes) + len(indexes)
        sums = self._ended.setdefault(state, {})
        self._strays += len(indexes)
        for slice_, places in self._slices_of(sorted(indexes)):
            totals = _at(slice_.totals, places)
            if isinstance(slice_.currencies, int):
                _add_ended(sums.setdefault(slice_.currencies, _Sum()), totals)
            else:
                numbers = _at(slice_.currencies, places)
                for number in set(numbers):
                    theirs = [total for total, other in zip(totals, numbers, strict=True) if other == number]
                    _add_ended(sums.setdefault(number, _Sum()), theirs)
            for place in slice_.odd.keys() & places if slice_.odd else ():
                into = sums[slice_.currencies if isinstance(slice_.currencies, int) else slice_.currencies[place]]
                into.odd = EXACT.add(into.odd, slice_.odd[place])
            slice_.left -= len(places)
            # What is left of them was never read.
            self._strays -= len(places)
            if slice_.left <= 0:
                del self._slices[slice_.first]
                del self._firsts[bisect_left(self._firsts, slice_.first)]

    def _slices_of(self, indexes: list[int]) -> Iterator[tuple[_Slice, list[int]]]:
        """Gives the slices that these records are in, with their positions there; a record that was never read is in none."""
        done = 0
        while done < len(indexes):
            number = bisect_right(self._firsts, indexes[done]) - 1
            slice_ = self._slices[self._firsts[number]] if number >= 0 else None
            if slice_ is None or indexes[done] >= slice_.first + len(slice_.totals):
                done += 1
                continue
            end = bisect_left(indexes, slice_.first + len(slice_.totals), done)
            first = slice_.first
            yield slice_, [index - first for index in indexes[done:end]]
            done = end

    def amounts_of(self, indexes: Sequence[int]) -> RecordAmounts | None:
        """Returns the money of records that were read and have no final state yet; None where that of one is not known.

        Args:
            indexes: their indexes in the source.
        """
        ordered = list(indexes) if isinstance(indexes, range) else sorted(indexes)
        totals, numbers, odd, from_lines = array("q"), array("H"), dict[int, str](), list[int]()
        for slice_, places in self._slices_of(ordered):
            for number, place in enumerate(places, len(totals)) if slice_.odd or slice_.from_lines else ():
                if place in slice_.odd:
                    odd[number] = str(slice_.odd[place])
                if place in slice_.from_lines:
                    from_lines.append(number)
            totals.extend(_at(slice_.totals, places))
            which = slice_.currencies
            numbers.extend(repeat(which, len(places)) if isinstance(which, int) else _at(which, places))
        if len(totals) < len(ordered):
            return None
        names = self._currencies.names
        alike = numbers.count(numbers[0]) == len(numbers) if numbers else True
        kept = ([names[numbers[0]]] if numbers else [], b"") if alike else (list(names), numbers.tobytes())
        found = RecordAmounts(totals.tobytes(), *kept, odd, from_lines)
        if ordered == list(indexes):
            return found
        places_of = {index: place for place, index in enumerate(ordered)}
        return found.only([places_of[index] for index in indexes])

    # --- the totals -------------------------------------------------------------------------------------------------------

    def totals(self, report: BulkReport | None = None) -> MoneyTotals:
        """Returns the totals so far; if the report of the run is given, its counts are compared too."""
        names = self._currencies.names
        found = set(self._read).union(*self._ended.values())
        currencies: list[CurrencyTotals] = []
        for number in sorted(found, key=lambda number: (number == 0, names[number] or "")):
            states: dict[State, MoneySum] = {
                state: self._ended[state][number].frozen() for state in STATES if number in self._ended.get(state, ())
            }
            read = self._read.get(number, _Sum()).frozen()
            currencies.append(CurrencyTotals(names[number], read, MappingProxyType(states)))
        nameless = self._read[0].count if 0 in self._read else 0
        return MoneyTotals(tuple(currencies), self._without_total, nameless, self._from_lines, self._adds_up(report))

    def _adds_up(self, report: BulkReport | None) -> bool:
        if self._strays or self._index_balance:
            return False
        for number in set(self._read).union(*self._ended.values()):
            parts = [sums[number] for sums in self._ended.values() if number in sums]
            read = self._read.get(number, _Sum())
            if read.count != sum(part.count for part in parts) or read.with_total != sum(part.with_total for part in parts):
                return False
            money = [part.total() or Decimal(0) for part in parts]
            if reduce(EXACT.add, money, Decimal(0)) != (read.total() or Decimal(0)):
                return False
        return report is None or self._agrees(report)

    def _agrees(self, report: BulkReport) -> bool:
        """Tells whether the report counts as many records in total and in each state."""
        counts = {state: sum(part.count for part in self._ended.get(state, {}).values()) for state in STATES}
        # Records of other parts of a shared run are not seen.
        others = report.counts["other_part"]
        read = sum(read.count for read in self._read.values())
        return counts == {**report.counts, "other_part": 0} and report.totals.records_read - others == read


def _scaled(total: Decimal | None) -> int | None:
    """Returns a total in ten-thousandths; None where it can't be expressed so."""
    if total is None:
        return NO_TOTAL
    try:
        scaled = int(_SMALL.to_integral_exact(_SMALL.multiply(total, SCALE)))
    except ArithmeticError:
        return None
    return scaled if abs(scaled) < 2**63 else None


def _at(slice_: array[int], places: list[int]) -> array[int] | list[int]:
    """What is at these places, which are in order."""
    first, after = places[0], places[-1] + 1
    if places == list(range(first, after)):
        return slice_[first:after]
    return list(map(slice_.__getitem__, places))


def _add_ended(into: _Sum, totals: array[int] | list[int]) -> None:
    without = totals.count(NO_TOTAL)
    into.count += len(totals)
    into.with_total += len(totals) - without
    into.scaled += sum(totals) - without * NO_TOTAL
