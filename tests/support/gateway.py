"""The faulty API behind a gateway that does not let every address through; each answer has a `Date`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amili_arm_async import ArmClient, clock

from .faulty_api import FaultyServer
from .sandbox_runs import QUICK

__all__ = ["Gateway"]


class Gateway(FaultyServer):
    """`async with Gateway(hides_number=..., faults=[...]) as gateway`: it shows the documents that it took.

    Attributes:
        hides_number: whether the look-up of a number, as it stands in the address, is answered 404 by the gateway, whatever is behind it.
    """

    def __init__(self, hides_number: Callable[[str], bool] = lambda _: False, **settings: Any) -> None:
        self.hides_number = hides_number
        super().__init__(**{"finds_all": False, "hides": self._hides, "date": clock.unix_time, **settings})

    def _hides(self, path: str) -> bool:
        section, _, number = path.rpartition("/")
        return section.endswith("/documents") and self.hides_number(number)

    @property
    def doubles(self) -> dict[str, int]:
        """The documents that were taken more than once."""
        return {number: times for number, times in self.taken.items() if times > 1}

    def client(self) -> ArmClient:
        """A client of it."""
        return ArmClient(2218, auth=self.token, base_url=self.base_url, retry=QUICK)
