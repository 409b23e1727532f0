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

__all__ = ["FORMS", "customers_of", "given_as"]

FORMS = ("dicts", "structs", "texts", "generator", "async", "csv", "arrow")


def customers_of(plan: Plan, act: Act) -> list[dict[str, Any]]:
    """The customers of the source of an act, in its order."""
    versions = random.Random(f"{plan.seed}/edits/{act.edits}")
    gone = random.Random(f"{plan.seed}/gone/{act.gone}")
    twice = random.Random(f"{plan.seed}/repeats/{act.repeats}")
    found, first = [], []
    for number in range(min(plan.customers, act.size)):
        version, is_gone, is_twice = versions.randrange(3), gone.random() < 0.2, twice.random() < 0.3
        if act.gone and is_gone:
            continue
        found.append(_customer(number, version if act.edits else 0))
        if act.repeats and is_twice:
            first.append(_customer(number, 3))
    if act.order:
        random.Random(act.order).shuffle(found)
    found = first + found
    return [_respelled(one) for one in found] if act.respelled else found


def _customer(number: int, version: int) -> dict[str, Any]:
    return {
        "customerNo": f"C{number:03}",
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
    if form == "async":
        return _later(records)
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


async def _later(records: list[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    for place, record in enumerate(records):
        if place % 4 == 3:
            await asyncio.sleep(0.01)
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
