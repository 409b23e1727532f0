"""The script that people write: `python -m benchmarks.peers.script ADDRESS KIND FILE` sends a file, CSV or JSON lines.

csv.DictReader or json.loads for each line, groups by the dots of the names, json.dumps, batches of 1,000 posted with aiohttp, 8 at once.
It converts nothing, checks nothing and keeps nothing. Its process ends with the file: its processor time is that of the whole process.
"""

import asyncio
import csv
import json
import sys
from collections.abc import Iterator
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

import aiohttp

from .rounds import CLIENT_NO, CONCURRENCY, RECORDS, TOKEN, USER_ID

HEADERS = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


def nest(row: dict[str, str]) -> dict[str, Any]:
    """A row with dots in its names as a record with groups; blank cells are left out."""
    record: dict[str, Any] = {}
    for name, value in row.items():
        if value:
            *groups, last = name.split(".")
            place = record
            for group in groups:
                place = place.setdefault(group, {})
            place[last] = value
    return record


def documents(rows: Iterator[dict[str, str]]) -> Iterator[dict[str, Any]]:
    """Rows with the same number are one document, and each of them is a line of it."""
    for _, some in groupby(rows, itemgetter("documentNo")):
        nested = [nest(row) for row in some]
        yield {**nested[0], "documentLines": [each["documentLines"] for each in nested]}


def read(kind: str, path: str) -> Iterator[dict[str, Any]]:
    """The records of a file."""
    with open(path, encoding="utf-8", newline="") as file:
        if path.endswith(".csv"):
            rows = csv.DictReader(file, delimiter=";")
            yield from documents(rows) if kind == "documents" else map(nest, rows)
        else:
            yield from map(json.loads, file)


async def send(address: str, kind: str, path: str) -> None:
    """Sends the records of a file."""
    url = f"{address}/clients/{CLIENT_NO}/{kind}/batches"
    records = read(kind, path)

    async def work(session: aiohttp.ClientSession) -> None:
        while batch := list(islice(records, RECORDS)):
            body = json.dumps({"metadata": {"userId": USER_ID}, kind: batch})
            async with session.post(url, data=body, headers=HEADERS) as answer:
                answer.raise_for_status()
                await answer.read()

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*[work(session) for _ in range(CONCURRENCY)])


if __name__ == "__main__":
    asyncio.run(send(*sys.argv[1:4]))
