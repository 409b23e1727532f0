"""A secret that is changed while a service runs: its file is read again when the old one is refused, and not before."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from amili_arm_async import (
    ArmClient,
    AuthenticationError,
    BulkOptions,
    ClientCredentials,
    ConfigurationError,
    RetryPolicy,
    TokenFile,
    UnauthorizedError,
)

from ..support.http_server import HttpServer, Request, reply

pytestmark = pytest.mark.quick


class Service:
    """The API, which takes one token, and the identity service, which takes one secret."""

    def __init__(self) -> None:
        self.token, self.secret, self.refusal = "old", "old", 401
        self.tokens: list[str] = []
        self.secrets: list[str] = []

    async def __call__(self, request: Request) -> bool:
        body = await request.body()
        if request.path == "/token":
            (secret,) = parse_qs(body.decode())["client_secret"]
            self.secrets.append(secret)
            known = secret == self.secret
            request.send(reply(200, {"access_token": self.token}) if known else reply(self.refusal, {"error": "invalid_client"}))
            return True
        token = request.headers["authorization"].removeprefix("Bearer ")
        self.tokens.append(token)
        if token != self.token:
            request.send(reply(401))
        elif request.method == "POST":
            request.send(reply(202, {"batchUuid": f"u{len(self.tokens)}"}))
        else:
            request.send(reply(200, {"customers": [{"customerNo": "7"}]}))
        return True


def swap(folder: Path, text: str) -> Path:
    """Puts a secret in place as Kubernetes does: a new directory, and a link that is replaced in one step."""
    number = len(list(folder.iterdir()))
    (folder / f"..{number}").mkdir()
    (folder / f"..{number}" / "secret").write_text(text)
    (folder / "..new").symlink_to(f"..{number}")
    (folder / "..new").rename(folder / "..data")
    if not (folder / "secret").is_symlink():
        (folder / "secret").symlink_to("..data/secret")
    return folder / "secret"


@pytest.mark.parametrize("call", ["read", "write", "bulk"])
async def test_a_token_file_is_read_again_after_a_401(tmp_path: Path, call: str) -> None:
    service = Service()
    async with HttpServer(service) as api, ArmClient(2218, auth=TokenFile(swap(tmp_path, "old\n")), base_url=api.base_url) as arm:
        await arm.customers.get("7")
        service.token = "new"
        swap(tmp_path, "new\n")
        if call == "bulk":
            report = await arm.documents.create_many([{"documentNo": "1"}], options=BulkOptions(results="accepted"))
            assert report.counts["accepted"] == 1
        elif call == "write":
            await arm.documents.create({"documentNo": "1"})
        else:
            await asyncio.gather(*(arm.customers.get("7") for _ in range(10)))
        await arm.customers.get("7")
    assert service.tokens[0] == "old"
    assert service.tokens[-1] == "new"


async def test_a_token_that_is_still_the_same_is_not_sent_twice(tmp_path: Path) -> None:
    service = Service()
    service.token = "new"
    async with HttpServer(service) as api, ArmClient(2218, auth=TokenFile(swap(tmp_path, "old")), base_url=api.base_url) as arm:
        with pytest.raises(UnauthorizedError):
            await arm.customers.get("7")
        assert service.tokens == ["old"]
        # Whoever waits for the new one finds it.
        swap(tmp_path, "new")
        await arm.customers.get("7")


@pytest.mark.parametrize("state", ["gone", "empty", "a\nb"])
async def test_a_token_file_that_can_not_be_read_any_more(tmp_path: Path, state: str) -> None:
    service, path = Service(), swap(tmp_path, "old")
    retry = RetryPolicy(attempts=1)
    async with HttpServer(service) as api, ArmClient(2218, auth=TokenFile(path), base_url=api.base_url, retry=retry) as arm:
        service.token = "new"
        if state == "gone":
            path.unlink()
        else:
            swap(tmp_path, "" if state == "empty" else state)
        with pytest.raises(AuthenticationError, match=r"TokenFile: .*secret can't be read now"):
            await arm.customers.get("7")
        swap(tmp_path, "new")
        await arm.customers.get("7")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a pipe")
async def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    """Such as `<(command)` of a shell: to open it again would wait for ever."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writing = asyncio.create_task(asyncio.to_thread(path.write_text, "old\n"))
    auth = await asyncio.to_thread(TokenFile, path)
    await writing
    service = Service()
    service.token = "new"
    async with HttpServer(service) as api, ArmClient(2218, auth=auth, base_url=api.base_url, retry=RetryPolicy(attempts=1)) as arm:
        with pytest.raises(AuthenticationError, match="can't be read now"):
            await arm.customers.get("7")


# --- client secrets -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", [400, 401])
async def test_a_client_secret_is_read_again_when_it_is_refused(tmp_path: Path, refusal: int) -> None:
    service = Service()
    service.refusal = refusal
    async with HttpServer(service) as api:
        auth = ClientCredentials(client_id="id", client_secret_file=swap(tmp_path, "old\n"), identity_url=api.origin)
        async with ArmClient(2218, auth=auth, base_url=api.base_url) as arm:
            await arm.customers.get("7")
            service.secret = service.token = "new"
            swap(tmp_path, "new\n")
            await asyncio.gather(*(arm.customers.get("7") for _ in range(10)))
            assert service.secrets == ["old", "old", "new"]
            auth.invalidate("new")
            await arm.customers.get("7")
            assert service.secrets[3:] == ["new"], "it is kept"


@pytest.mark.parametrize("state", ["same", "also wrong", "gone"])
async def test_a_secret_that_is_refused_is_tried_once_more_only_where_it_is_another(tmp_path: Path, state: str) -> None:
    service, path = Service(), swap(tmp_path, "old")
    async with HttpServer(service) as api:
        auth = ClientCredentials(client_id="id", client_secret_file=path, identity_url=api.origin)
        async with ArmClient(2218, auth=auth, base_url=api.base_url) as arm:
            service.secret = "new"
            if state == "also wrong":
                swap(tmp_path, "wrong")
            elif state == "gone":
                path.unlink()
            with pytest.raises(AuthenticationError, match="answered 401: check client_id and client_secret"):
                await arm.customers.get("7")
    assert service.secrets == (["old", "wrong"] if state == "also wrong" else ["old"])


async def test_what_passes_is_no_reason_to_read_the_file(tmp_path: Path) -> None:
    service = Service()
    service.secret, service.refusal = "new", 503
    async with HttpServer(service) as api:
        auth = ClientCredentials(client_id="id", client_secret_file=swap(tmp_path, "old"), identity_url=api.origin)
        async with ArmClient(2218, auth=auth, base_url=api.base_url, retry=RetryPolicy(attempts=1)) as arm:
            swap(tmp_path, "new")
            with pytest.raises(AuthenticationError, match="503"):
                await arm.customers.get("7")
    assert service.secrets == ["old"]


def test_a_file_that_is_not_there_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="client_secret_file: /nowhere can't be read: No such file"):
        ClientCredentials(client_id="id", client_secret_file="/nowhere", identity_url="https://auth.example")
    with pytest.raises(ConfigurationError, match="TokenFile: /nowhere can't be read: No such file"):
        TokenFile("/nowhere")
