"""Pure: why the payload of a dead letter line is not sent, whatever its journal says, and what to do instead."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Final

import msgspec

from .. import codec
from ..models.base import Input
from ..models.customers import Customer
from ..models.documents import Document
from ..validation.shapes import fast_struct, shape_faults
from .dead_letters import Letter

__all__ = ["why_it_stays"]

_COMPLETE: Final = frozenset({"too_large", "no_document_no"})
"""Reasons of `invalid` whose payload is the record as it would have been sent, and that nothing was sent in the place of."""

_REMEDY: Final = "mend the source and run it again with the same run_id"
_NO_REMEDY: Final = "mend the source and send the record from there"
_NAMED: Final = 3


def why_it_stays(letter: Letter, payload: bytes, *, extra_fields: bool) -> str | None:
    """Why a line is never sent, with the remedy; None where it may be.

    What could not be read or encoded is kept as it was read, for a person: to send that would bill something else.

    Args:
        letter: the line.
        payload: its payload.
        extra_fields: whether fields that the API does not show are sent.
    """
    remedy = _REMEDY if letter.journal is not None else _NO_REMEDY
    if letter.state == "invalid" and letter.reason not in _COMPLETE:
        return f"it was refused before anything was sent, and is never sent by replay: {remedy}"
    if not payload.startswith(b"{"):
        return f"it could not be read as a record, and is never sent: {remedy}"
    if not extra_fields and (unknown := _unknown_fields(payload, Document if letter.is_document else Customer)):
        return f"{unknown}: {remedy}, or say --extra-fields where the service knows such a field"
    return None


def _unknown_fields(payload: bytes, cls: type[Input]) -> str:
    """The names that are no field of the API, with what may be meant; an empty text where there are none."""
    try:
        _DECODERS[cls].decode(payload)
        return ""
    except codec.DecodeFailure:
        pass
    value = codec.json_object(payload)
    if not isinstance(value, Mapping):
        return ""
    unknown = (found for found in shape_faults(value, cls) if found.code in _UNKNOWN)
    return "; ".join([f"{found.path}: {found.message}" for found in islice(unknown, _NAMED)])


_UNKNOWN: Final = frozenset({"unknown_field", "misnamed_field"})

_DECODERS: Final[Mapping[type[Input], msgspec.json.Decoder[msgspec.Struct]]] = {
    cls: msgspec.json.Decoder(fast_struct(cls)) for cls in (Customer, Document)
}
