"""What is asked, and in which order: the documented first, so that a bound on requests costs the guesses and not the facts."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ... import codec
from ...auth import ClientCredentials
from ...client import ArmClient
from ...config import Timeout
from ...endpoints import OPERATIONS
from .assumptions import PAGED, findings
from .client import BudgetExceededError, ProbeClient, UnreachableError
from .evidence import Agreement, Evidence, Exchange, ProbeFinding
from .lists import MOST_RECORDS, last_page, query_of
from .paths import ASKED, answer_of, answers, candidates, is_elsewhere, others
from .records import ONE, key_in_list
from .remedy import remedy
from .writing import Records, write

__all__ = ["MOST_REQUESTS", "Probe"]

MOST_REQUESTS: Final = 80
"""Requests of a probe that only reads; tokens and batches that were named are not counted in it."""

_SECONDS: Final = 600.0
"""No request that reads is begun after so many."""

_FEW: Final = 5
"""Records on a page: the least that the API takes as it is."""
_PAGES: Final = 3
"""Pages that are read one after the other."""


@dataclass
class Probe:
    """One probe of a service.

    Attributes:
        arm: the client; it is closed at the end.
        base_url: where the service is.
        timeout: for one request.
        auth: the credentials, where the identity service is asked for the token; else None.
        batches: batchUuids of the caller's that are looked at.
        records: what is to be written, or None.
        deadline: seconds that are waited for the batch that was sent.
        keep: told of each reply.
        evidence: what was seen so far.
        unreachable: the service could not be reached, or refused the token.
        asked: requests so far.
    """

    arm: ArmClient
    base_url: str
    timeout: Timeout
    auth: ClientCredentials | None = None
    batches: Sequence[str] = ()
    records: Records | None = None
    deadline: float = 300.0
    keep: Callable[[Exchange], None] = lambda _: None
    unreachable: bool = False
    asked: int = 0
    evidence: Evidence = field(init=False)

    def __post_init__(self) -> None:
        self.evidence = Evidence(self.base_url)

    async def run(self) -> None:
        """Asks everything; what was seen until it ends, however it ends, is in `evidence`."""
        caller = self.arm._context  # noqa: SLF001 - what is looked at are replies of any status, and each question is asked once
        asker = ProbeClient(caller, self.evidence, timeout=self.timeout, most=MOST_REQUESTS, seconds=_SECONDS, keep=self.keep)
        async with self.arm:
            if self.auth is not None:
                self._listen(self.auth, caller.transport.post_form)
            try:
                await self._ask(asker)
            except UnreachableError as exc:
                self.evidence.ended, self.unreachable = str(exc), True
            except BudgetExceededError as exc:
                self.evidence.ended = str(exc)
            except asyncio.CancelledError:
                self.evidence.ended = "interrupted"
                raise
            finally:
                self.asked = asker.asked

    def _listen(self, auth: ClientCredentials, post: Callable[..., object]) -> None:
        """Notes the names of the fields that the identity service answers with."""

        async def heard(url: str, form: Mapping[str, object]) -> bytes:
            answer: bytes = await post(url, form)  # type: ignore[misc]
            self.evidence.token_fields = tuple(codec.json_object(answer) or ())
            return answer

        auth.attach(heard)

    async def _ask(self, asker: ProbeClient) -> None:
        for name in PAGED:
            if OPERATIONS[name].documented:
                await self._walk(asker, name)
        await self._page_sizes(asker)
        if self.batches:
            asker.allow(len(self.batches), self.timeout.read * len(self.batches))
        for uuid in self.batches:
            await asker.get("batches.get", "batches.get", path={"batchuuid": uuid})
        for row in ASKED:
            await self._find(asker, row.name)
        await self._single(asker)
        if self.records is not None:
            await write(asker, self.evidence, self.records, self.deadline)
        for row in ASKED:
            await self._look_elsewhere(asker, row.name)

    # --- lists ----------------------------------------------------------------------------------------------------------

    async def _walk(self, asker: ProbeClient, name: str, template: str | None = None) -> None:
        """The first pages of a list, and its last."""
        heard = answer_of(self.evidence, name)
        if heard is None:
            heard = await asker.get(name, name, query={"pagesize": _FEW, "userid": asker.user_id})
        for _ in range(_PAGES - 1):
            query = query_of(heard.summary().get("nextPage")) if heard.is_success else {}
            if not query:
                break
            heard = await asker.get(f"{name}/pages", name, template=template, query=query)
        if heard.is_success and last_page(self.evidence, name) is None:
            query = query_of(heard.summary().get("lastPage"))
            if query:
                await asker.get(f"{name}/last", name, template=template, query=query)
        if heard.is_success:
            most = {"maximumcount": OPERATIONS[name].cap * 10, "pagesize": _FEW, "userid": asker.user_id}
            await asker.get(f"{name}/most", name, template=template, query=most)

    async def _page_sizes(self, asker: ProbeClient) -> None:
        """What becomes of numbers that are too small or too large; at most ten records come with each."""
        name = "customers.list"
        heard = self.evidence.first(name)
        if heard is None or not heard.is_success:
            return
        more = {"userid": asker.user_id}
        await asker.get(f"{name}/small", name, query={"pagesize": _FEW - 1, "maximumcount": 10, **more})
        await asker.get(f"{name}/large", name, query={"pagesize": MOST_RECORDS + 1, "maximumcount": 10, **more})
        await asker.get(f"{name}/few", name, query={"pagesize": _FEW, "maximumcount": _FEW, **more})
        query, pages = heard.summary().get("queryId"), heard.summary().get("totalPages")
        if isinstance(query, str) and query and isinstance(pages, int):
            await asker.get(f"{name}/past", name, query={"query": query, "pageno": pages + 1})

    # --- single records ---------------------------------------------------------------------------------------------------

    async def _single(self, asker: ProbeClient) -> None:
        """One record of each sort that a list has shown, and one that can't be there."""
        for name, key in ONE.items():
            parameter = OPERATIONS[name].path.rpartition("/")[2][1:-1]
            found = key_in_list(answer_of(self.evidence, name.removesuffix(".get") + ".list"), key)
            query = {"userid": asker.user_id}
            if found is not None:
                await asker.get(name, name, path={parameter: found}, query=query)
            await asker.get(f"{name}/absent", name, path={parameter: _number_of_none(name)}, query=query)
        await asker.get("batches.get/absent", "batches.get", path={"batchuuid": secrets.token_urlsafe(16)})

    # --- paths ------------------------------------------------------------------------------------------------------------

    async def _find(self, asker: ProbeClient, name: str) -> None:
        """Asks where the library would ask."""
        heard = await asker.get(name, name, query=_query(name, asker))
        if name in PAGED and heard.is_success:
            await self._walk(asker, name)

    async def _look_elsewhere(self, asker: ProbeClient, name: str) -> None:
        """Asks at other spellings of a path where there is nothing."""
        heard = self.evidence.first(name)
        if heard is None or not is_elsewhere(heard):
            return
        for template in candidates(OPERATIONS[name]):
            found = await asker.get(others(name), name, template=template, query=_query(name, asker))
            if answers(found):
                if name in PAGED:
                    await self._walk(asker, name, template)
                return

    # --- what is told -------------------------------------------------------------------------------------------------------

    def findings(self) -> list[ProbeFinding]:
        """What became of each assumption so far."""
        return findings(self.evidence, wrote=self.records is not None)

    def remedy(self) -> str:
        """The settings that would make the library right."""
        return remedy(self.evidence, all_as_assumed=all(one.verdict != Agreement.OTHERWISE for one in self.findings()))


def _query(name: str, asker: ProbeClient) -> dict[str, object]:
    """Lists are asked for few records; nothing is known of what other operations take."""
    return {"pagesize": _FEW, "userid": asker.user_id} if OPERATIONS[name].items else {}


def _number_of_none(name: str) -> str:
    """A number that no record can have; an AR item's may have to be a number."""
    return "999999999999" if name == "ar_items.get" else f"probe-{secrets.token_hex(8)}"
