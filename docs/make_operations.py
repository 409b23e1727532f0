"""Writes docs/operations.md from the table of operations: `python docs/make_operations.py`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from pathlib import Path

from amili_arm_async import ArmClient
from amili_arm_async.endpoints import IDENTITY, OPERATIONS, Endpoint

TARGET = Path(__file__).with_name("operations.md")

HEAD = """# All operations

Generated from `amili_arm_async/endpoints.py` by `python docs/make_operations.py`; a test compares the page with that table.

- **Path**: below the base address. *documented*: a public page shows method and path. *inferred*: no page shows it; the path follows the
  naming rule of the [About page](https://docs.amili.dev/about-355476m0) (all lower case, no separators) and is otherwise a guess. If
  it is wrong, set it: `ArmClient(paths={"codes.get": "clients/{clientno}/systemcodes"})`, with a method before it if that is wrong
  too (`"POST clients/{clientno}/..."`). A 404 or 405 on an inferred path says so, and [amili-arm probe](probe.md) looks for the right one.
- **Repeat**: *safe*: sent again when it is unknown whether an earlier attempt was accepted. *unsafe*: never sent again then
  ([retries](errors.md#retries)). What is not known to be safe is unsafe.
- **Statuses**: those that the page lists; blank where no page shows them.
- Every call takes `timeout=` and `retry=`. Where no page shows what is sent or what comes back, it takes a mapping by the API's own names
  and returns one unchanged ([reading](reading.md#every-other-operation)).
"""


def document() -> str:
    """The whole page."""
    return "\n".join(
        [
            HEAD,
            "## The ARM API\n",
            *_table(OPERATIONS.values()),
            "\n## The identity service\n",
            "Paths are below `identity_url`. The client's own bearer token is never sent there.\n",
            *_table(IDENTITY.values()),
            "",
        ]
    )


def _table(rows: Iterable[Endpoint]) -> list[str]:
    head = ["| operation | method and path | path | repeat | statuses | Python |", "|---|---|---|---|---|---|"]
    return [*head, *("| " + " | ".join(_cells(row)) + " |" for row in rows)]


def _cells(row: Endpoint) -> list[str]:
    return [
        f"[{row.name}]({row.page})",
        f"`{row.operation}`",
        "documented" if row.documented else "inferred",
        "safe" if row.safe else "unsafe",
        " ".join(map(str, row.statuses)),
        ", ".join(f"`{call}`" for call in calls(row.name)),
    ]


def calls(name: str) -> list[str]:
    """The calls of an operation, with the arguments that have no default."""
    section, _, method = name.partition(".")
    with_many = [method, method.replace("_batch", "_many")] if method.endswith("_batch") else [method]
    if name == "batches.get":
        with_many += ["wait", "wait_many"]
    if name == "customers.get":
        with_many += ["get_many"]
    resource = getattr(ArmClient(1, auth="token", base_url="https://example.no"), section)
    return [f"arm.{section}.{one}({', '.join(_needed(getattr(resource, one)))})" for one in with_many]


def _needed(method: Callable[..., object]) -> list[str]:
    parameters = inspect.signature(method).parameters.values()
    return [one.name for one in parameters if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD]


if __name__ == "__main__":
    TARGET.write_text(document(), "utf-8")
