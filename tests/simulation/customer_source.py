"""The customers of a story as a person gives them, in each of the forms that the library takes."""

from __future__ import annotations

import asyncio
import io
import json
import random
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

from amili_arm_async import Customer, PostalAddress, open_records

from .plan import Act, Plan

__all__ = ["FORMS", "customers_of", "given_as", "number_of"]

FORMS = ("dicts", "structs", "texts", "generator", "async", "slow", "csv", "arrow")

_HOLD_ANYTHING = frozenset({"dicts", "structs", "generator", "async", "slow"})
"""Forms in which a record may hold what can't be sent."""

_HOLD_ANY_NAME = frozenset({"dicts", "texts", "generator", "async", "slow"})
"""Forms in which the names of fields may be others."""

_FEW_LEFT = 3
"""What `Act.gone` is where most customers are gone."""


def number_of(customer: int) -> str:
    """The number of a customer: with capitals, mixed, or of digits alone."""
    return f"{('C', 'C', 'C', '1', 'Kd')[customer % 5]}{customer:03}"


def customers_of(plan: Plan, act: Act) -> list[dict[str, Any]]:
    """The customers of the source of an act, in its order."""

    def chance(name: str) -> random.Random:
        return random.Random(f"{plan.seed}/{name}/{getattr(act, name)}")

    versions, gone, twice, again, thrice = map(chance, ("edits", "gone", "repeats", "again", "thrice"))
    share = 0.7 if act.gone == _FEW_LEFT else 0.2
    found, first, last = list[dict[str, Any]](), list[dict[str, Any]](), list[dict[str, Any]]()
    for number in range(min(plan.customers, act.size)):
        version, is_gone, is_twice, once_more = versions.randrange(3), gone.random() < share, twice.random() < 0.3, again.random()
        if act.gone and is_gone:
            continue
        found.append(_customer(number, version if act.edits else 0))
        if act.thrice and act.form in _HOLD_ANYTHING and (share_of_three := thrice.random()) < 0.7:
            unsent = {**_customer(number, 3), "limitAmount": Decimal("NaN")}
            found[-1:] = [unsent] if share_of_three < 0.3 else [unsent, found[-1], unsent]
        if act.repeats and is_twice:
            first.append(_customer(number, 3))
        if act.again and once_more < 0.5:
            # With the same, with what it has where it is not edited, or with something else; or twice more.
            more = [_customer(number, one) for one in ((version,), (0,), (3,), (3, 0), (version, 3))[int(once_more * 10)]]
            # At once, so that they share a batch, or at the end.
            (found if act.again % 2 else last).extend(more)
    if act.order:
        random.Random(act.order).shuffle(found)
    found = first + found + last
    if act.cased:
        cases = chance("cased")
        found = [{**one, "customerNo": cases.choice((str.lower, str.upper, str))(one["customerNo"])} for one in found]
    if act.broken and act.form in _HOLD_ANYTHING:
        broken = chance("broken")
        found = [{**one, "limitAmount": Decimal("NaN")} if broken.random() < 0.15 else one for one in found]
    if act.unnamed and act.form in _HOLD_ANY_NAME:
        unnamed = chance("unnamed")
        found = [{_MISNAMED.get(name, name): one[name] for name in one} if unnamed.random() < 0.15 else one for one in found]
    return [_respelled(one) for one in found] if act.respelled else found


_MISNAMED = {"customerNo": "customerno"}


def _customer(number: int, version: int) -> dict[str, Any]:
    return {
        "customerNo": number_of(number),
        "name": f"Name {number}",
        "limitAmount": Decimal(100 + version) / 2,
        "postalAddress": {"postalCode": "0150", "cityName": f"City {version % 2}"},
    }


def _respelled(record: dict[str, Any]) -> dict[str, Any]:
    """The same customer, written otherwise."""
    return dict(reversed({**record, "limitAmount": Decimal(f"{record['limitAmount']:.2f}")}.items()))


def given_as(form: str, records: list[dict[str, Any]]) -> Any:
    """Returns records in a form."""
    if form == "structs":
        return [_struct(record) for record in records]
    if form == "texts":
        return [json.dumps(record, default=_Number).encode() for record in records]
    if form == "generator":
        return _one_by_one(records)
    if form in {"async", "slow"}:
        return _later(records, 0.01 if form == "async" else 3.0)
    if form == "csv":
        return open_records(io.BytesIO(_csv(records)), "customers", format="csv")
    if form == "arrow":
        return _table(records)
    return [dict(record) for record in records]


class _Number(float):
    """A number that JSON writes with the digits that it has."""

    def __init__(self, value: Decimal) -> None:
        self._text = str(value)

    def __repr__(self) -> str:
        return self._text


def _struct(record: dict[str, Any]) -> Customer:
    address = record["postalAddress"]
    return Customer(
        customer_no=record["customerNo"],
        name=record["name"],
        limit_amount=record["limitAmount"],
        postal_address=PostalAddress(postal_code=address["postalCode"], city_name=address["cityName"]),
    )


def _one_by_one(records: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    # The same dict, filled again, as a cursor may do.
    row: dict[str, Any] = {}
    for record in records:
        row.clear()
        row.update(record)
        yield row


async def _later(records: list[dict[str, Any]], seconds: float) -> AsyncIterator[dict[str, Any]]:
    for place, record in enumerate(records):
        if place % 4 == 3:
            # So long that what was read may leave without the rest, and settle before that is read, after some time-outs, too.
            await asyncio.sleep(seconds * 100 if seconds > 1 and place % 8 == 7 else seconds)
        yield dict(record)


_COLUMNS = ("customerNo", "name", "limitAmount", "postalAddress.postalCode", "postalAddress.cityName")


def _cells(record: dict[str, Any]) -> tuple[Any, ...]:
    address = record["postalAddress"]
    return record["customerNo"], record["name"], record["limitAmount"], address["postalCode"], address["cityName"]


def _csv(records: list[dict[str, Any]]) -> bytes:
    lines = [_COLUMNS, *map(_cells, records)]
    return "".join(",".join(map(str, line)) + "\n" for line in lines).encode()


def _table(records: list[dict[str, Any]]) -> Any:
    import pyarrow as pa

    columns = list(zip(*map(_cells, records), strict=True)) or [()] * len(_COLUMNS)
    types = [pa.string(), pa.string(), pa.decimal128(10, 3), pa.string(), pa.string()]
    return pa.table({name: pa.array(column, kind) for name, column, kind in zip(_COLUMNS, columns, types, strict=True)})
