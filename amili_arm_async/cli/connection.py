"""The options that several commands have."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, TypeAlias

import typer

__all__ = [
    "BaseUrl",
    "Bisect",
    "ClientId",
    "ClientNo",
    "Grace",
    "IdentityUrl",
    "ResendAbsent",
    "ServerMessages",
    "Settle",
    "UserId",
    "settings",
]

BaseUrl: TypeAlias = Annotated[str | None, typer.Option(help="Address of the API. [AMILI_ARM_BASE_URL]")]
ClientNo: TypeAlias = Annotated[int | None, typer.Option(help="Client number. [AMILI_ARM_CLIENT_NO]")]
UserId: TypeAlias = Annotated[str | None, typer.Option(help="Who is named as the user. [AMILI_ARM_USER_ID]")]
IdentityUrl: TypeAlias = Annotated[str | None, typer.Option(help="Address of the identity service. [AMILI_ARM_IDENTITY_URL]")]
ClientId: TypeAlias = Annotated[str | None, typer.Option(help="Client id for the identity service. [AMILI_ARM_CLIENT_ID]")]

Grace: TypeAlias = Annotated[float, typer.Option(min=0, help="Seconds that the batches on the wire have after Ctrl-C or SIGTERM.")]
Settle: TypeAlias = Annotated[
    float | None,
    typer.Option(
        help="Seconds after which a document that is not there won't come any more. [default: a tenth more than the deadline of the run,"
        " or than its slowest batch]"
    ),
]
ResendAbsent: TypeAlias = Annotated[
    bool, typer.Option("--resend-absent", help="Send again the documents that were looked up and are provably not there.")
]

ServerMessages: TypeAlias = Annotated[
    bool, typer.Option("--server-messages", help="Show the server's words to failed records; they may hold personal data.")
]


class Bisect(StrEnum):
    """Which refused batches are taken apart."""

    safe = "safe"
    all = "all"
    off = "off"


def settings(
    base_url: str | None, client_no: int | None, user_id: str | None, identity_url: str | None, client_id: str | None
) -> Mapping[str, str]:
    """The environment with what was given as an option put over it, for `ArmClient.from_env`."""
    flags = {"BASE_URL": base_url, "CLIENT_NO": client_no, "USER_ID": user_id, "IDENTITY_URL": identity_url, "CLIENT_ID": client_id}
    variables = dict(os.environ)
    if client_id is not None or identity_url is not None:
        # Who names an identity wants it used, and not a token that is left over in the environment.
        variables.pop("AMILI_ARM_TOKEN", None)
    return variables | {f"AMILI_ARM_{name}": str(value) for name, value in flags.items() if value is not None}
