"""Tokens: one refresh for concurrent refusals, failures shared, nothing shown."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Mapping
from typing import Any

import pytest

from amili_arm_async import ArmError, AuthenticationError, ClientCredentials, ConfigurationError, NotSentError, TokenSource
from amili_arm_async.auth import Secret, check_token, token_source

pytestmark = pytest.mark.quick

IDENTITY = "https://auth.staging.amili.no"
SECRET = "hunter2-the-secret"


class Identity:
    """The identity service: answers when it is let, and counts."""

    def __init__(self, **answer: Any) -> None:
        self.answer: dict[str, Any] = {"expires_in": 3600, **answer}
        self.forms: list[tuple[str, dict[str, str]]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.asked = asyncio.Event()
        self.failures: list[Exception] = []

    async def __call__(self, url: str, form: Mapping[str, str | Secret]) -> bytes:
        assert SECRET not in repr(form)
        self.forms.append((url, {name: value.reveal() if isinstance(value, Secret) else value for name, value in form.items()}))
        number = len(self.forms)
        self.asked.set()
        await self.open.wait()
        if self.failures:
            raise self.failures.pop(0)
        return json.dumps({"access_token": f"token-{number}", **self.answer}).encode()


def credentials(identity: Identity) -> ClientCredentials:
    made = ClientCredentials(client_id="the-id", client_secret=SECRET, identity_url=IDENTITY + "/")
    made.attach(identity)
    return made


async def all_waiting() -> None:
    """Lets every task that can go on go on."""
    for _ in range(5):
        await asyncio.sleep(0)


# --- fetching -----------------------------------------------------------------------------------------------------------------


async def test_a_token_is_asked_for_as_the_page_says_and_kept() -> None:
    identity = Identity()
    source = credentials(identity)
    assert [await source.acquire() for _ in range(3)] == ["token-1"] * 3
    form = {"grant_type": "client_credentials", "client_id": "the-id", "client_secret": SECRET}
    assert identity.forms == [(IDENTITY + "/token", form)]


async def test_fifty_callers_at_once_make_one_refresh() -> None:
    identity = Identity()
    source = credentials(identity)
    source.invalidate(await source.acquire())
    identity.open.clear()
    callers = [asyncio.create_task(source.acquire()) for _ in range(50)]
    await all_waiting()
    identity.open.set()
    assert await asyncio.gather(*callers) == ["token-2"] * 50
    assert len(identity.forms) == 2


async def test_fifty_refusals_of_one_token_make_one_refresh() -> None:
    identity = Identity()
    source = credentials(identity)
    old = await source.acquire()

    async def refused() -> str:
        source.invalidate(old)
        return await source.acquire()

    assert await asyncio.gather(*(refused() for _ in range(50))) == ["token-2"] * 50
    assert len(identity.forms) == 2


async def test_a_late_refusal_of_an_old_token_does_not_cost_the_new_one() -> None:
    identity = Identity()
    source = credentials(identity)
    old = await source.acquire()
    source.invalidate(old)
    assert await source.acquire() == "token-2"
    source.invalidate(old)
    source.invalidate("another")
    assert await source.acquire() == "token-2"


async def test_when_the_first_caller_is_cancelled_the_others_get_their_token() -> None:
    identity = Identity()
    source = credentials(identity)
    identity.open.clear()
    callers = [asyncio.create_task(source.acquire()) for _ in range(10)]
    await all_waiting()
    callers[0].cancel()
    await all_waiting()
    identity.open.set()
    assert set(await asyncio.gather(*callers[1:])) == {"token-2"}
    assert callers[0].cancelled()
    assert len(identity.forms) == 2


async def test_a_caller_that_is_cancelled_while_it_waits_disturbs_nobody() -> None:
    identity = Identity()
    source = credentials(identity)
    identity.open.clear()
    callers = [asyncio.create_task(source.acquire()) for _ in range(10)]
    await all_waiting()
    for waiter in callers[3:6]:
        waiter.cancel()
    identity.open.set()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [3 <= place < 6 for place in range(10)]
    assert len(identity.forms) == 1


async def test_a_failure_is_shared_by_all_who_waited_and_by_nobody_later() -> None:
    identity = Identity()
    source = credentials(identity)
    identity.failures = [NotSentError("down")]
    identity.open.clear()
    callers = [asyncio.create_task(source.acquire()) for _ in range(50)]
    await all_waiting()
    identity.open.set()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert all(isinstance(result, NotSentError) for result in results)
    assert len(identity.forms) == 1
    assert await source.acquire() == "token-2"


async def test_one_source_serves_one_event_loop_after_another() -> None:
    identity = Identity()
    source = credentials(identity)

    def in_another_loop() -> str:
        async def contend() -> list[str]:
            identity.open = asyncio.Event()
            callers = [asyncio.create_task(source.acquire()) for _ in range(3)]
            await all_waiting()
            identity.open.set()
            return await asyncio.gather(*callers)

        return asyncio.run(contend())[0]

    assert await asyncio.to_thread(in_another_loop) == "token-1"
    source.invalidate("token-1")
    assert await asyncio.to_thread(in_another_loop) == "token-2"


# --- expiry -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "lifetime"),
    [
        ({"expires_in": 3600}, 3600 - 60),
        ({"expires_in": "3600"}, 3600 - 60),
        ({"expires_in": 100}, 90),
        ({"expires_in": 3600, "expires_on": 1_000_000 + 1000}, 1000 - 60),
        ({"expires_in": 500, "expires_on": 1_000_000 + 1000}, 500 - 50),
        ({"expires_in": None, "expires_on": str(1_000_000 + 2000)}, 2000 - 60),
        ({"expires_in": 3600, "expires_on": 12}, 3600 - 60),
        ({"expires_in": None}, 300 - 30),
        ({"expires_in": "soon", "expires_on": {}}, 300 - 30),
        ({"expires_in": -5}, 300 - 30),
        ({"expires_in": "nan"}, 300 - 30),
        ({"expires_in": int("9" * 400)}, 86_400 - 60),
        ({"expires_in": "9" * 400}, 86_400 - 60),
        ({"expires_in": "1e999"}, 86_400 - 60),
        ({"expires_in": -int("9" * 400)}, 300 - 30),
        ({"expires_in": 3600, "expires_on": int("9" * 400)}, 3600 - 60),
    ],
)
async def test_a_token_is_renewed_shortly_before_it_expires(fake_clock, answer, lifetime) -> None:
    identity = Identity(**answer)
    source = credentials(identity)
    assert await source.acquire() == "token-1"
    fake_clock.now += lifetime - 0.001
    assert await source.acquire() == "token-1"
    fake_clock.now += 0.002
    assert await source.acquire() == "token-2"


@pytest.mark.parametrize("lifetime", ["nan", "inf", 1e300])
async def test_a_lifetime_that_is_no_time_still_gives_a_token(fake_clock, lifetime) -> None:
    source = credentials(Identity(expires_in=lifetime))
    assert (await source.acquire()).startswith("token-")


# --- answers that have none -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"{}", b'{"access_token":7}', b'{"access_token":null}', b'"token"'])
async def test_an_answer_without_a_token_is_an_authentication_error(body) -> None:
    async def post(_url: str, _form: Mapping[str, str | Secret]) -> bytes:
        return body

    source = ClientCredentials(client_id="i", client_secret=SECRET, identity_url=IDENTITY)
    source.attach(post)
    with pytest.raises(AuthenticationError, match="identity_url"):
        await source.acquire()


async def test_credentials_outside_a_client_say_what_to_do() -> None:
    source = ClientCredentials(client_id="i", client_secret=SECRET, identity_url=IDENTITY)
    with pytest.raises(ConfigurationError, match="ArmClient"):
        await source.acquire()


async def test_of_two_clients_the_one_that_is_left_fetches() -> None:
    first, second = Identity(), Identity()
    source = credentials(first)
    source.attach(second)
    source.detach(second)
    await source.acquire()
    assert (len(first.forms), len(second.forms)) == (1, 0)


@pytest.mark.parametrize("bad", ["a b", "a\r\nX-Evil: 1", "a\x00", "\x7f", "tøken", "", "a\tb", "Bearer abc"])
def test_a_token_that_cannot_stand_in_a_header_is_refused_and_not_shown(bad) -> None:
    with pytest.raises(ConfigurationError) as raised:
        check_token(bad)
    assert bad not in str(raised.value) or bad == ""


@pytest.mark.parametrize("bad", [None, 7, b"token"])
def test_a_token_is_text(bad) -> None:
    with pytest.raises(ConfigurationError):
        check_token(bad)


@pytest.mark.parametrize("bad", ["a b", "a\r\nX-Evil: 1", ""])
async def test_a_service_whose_token_cannot_stand_in_a_header_is_refused(bad) -> None:
    with pytest.raises(ArmError):
        await credentials(Identity(access_token=bad)).acquire()


@pytest.mark.parametrize("name", ["client_id", "client_secret"])
@pytest.mark.parametrize("value", ["", " ", None, 7])
def test_blank_credentials_are_refused_by_name(name, value) -> None:
    with pytest.raises(ConfigurationError, match=name):
        ClientCredentials(**{"client_id": "i", "client_secret": SECRET, "identity_url": IDENTITY, name: value})


# --- other sources --------------------------------------------------------------------------------------------------------------


async def test_a_token_of_ones_own_is_given_every_time() -> None:
    source = token_source("abc")
    source.invalidate("abc")
    assert await source.acquire() == "abc"


async def test_a_function_is_called_once_for_concurrent_calls_and_again_after_a_refusal() -> None:
    calls: list[int] = []

    async def fetch() -> str:
        calls.append(1)
        await asyncio.sleep(0)
        return f"token-{len(calls)}"

    source = token_source(fetch)
    assert await asyncio.gather(*(source.acquire() for _ in range(50))) == ["token-1"] * 50
    source.invalidate("another")
    assert await source.acquire() == "token-1"
    source.invalidate("token-1")
    assert await asyncio.gather(*(source.acquire() for _ in range(50))) == ["token-2"] * 50
    assert len(calls) == 2


async def test_a_source_of_the_callers_is_used_as_it_is() -> None:
    class Mine:
        async def acquire(self) -> str:
            return "mine"

        def invalidate(self, token: str) -> None: ...

    source = Mine()
    assert isinstance(source, TokenSource)
    assert token_source(source) is source


# --- secrets --------------------------------------------------------------------------------------------------------------------


def test_a_secret_shows_itself_only_when_asked() -> None:
    secret = Secret(SECRET)
    assert SECRET not in f"{secret} {secret!r} {[secret]} {vars(type(secret))}"
    assert secret.reveal() == SECRET
    assert secret == Secret(SECRET)
    assert hash(secret) == hash(Secret(SECRET))
    assert secret != SECRET


async def test_no_source_shows_a_secret_or_a_token() -> None:
    async def fetch() -> str:
        return "token-1"

    own = credentials(Identity())
    for source in (own, token_source("token-1"), token_source(fetch)):
        await source.acquire()
        assert "token-1" not in f"{source!r} {vars(source)}"
        assert SECRET not in f"{source!r} {vars(source)}"


async def test_no_traceback_with_locals_shows_the_secret() -> None:
    identity = Identity()
    identity.failures = [NotSentError("down")]
    with pytest.raises(NotSentError) as raised:
        await credentials(identity).acquire()
    frames = [
        frame
        for frame in traceback.TracebackException.from_exception(raised.value, capture_locals=True).stack
        if "amili_arm_async" in frame.filename
    ]
    assert frames
    assert SECRET not in str([frame.locals for frame in frames])
