"""Pure: the JSON texts of records that stand in one text, with commas between them, told apart again."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from .. import codec

__all__ = ["split_json_objects"]

_RAW_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])

_BRACES: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}]')
"""Texts, to be passed over, and braces."""


def split_json_objects(body: bytes) -> list[bytes]:
    """The JSON texts in `a,b,c`, each an object, as they stand there.

    Raises:
        one of `codec.DecodeFailure`: there are no such texts.
    """
    try:
        return [bytes(item) for item in _RAW_LIST.decode(b"[" + body + b"]")]
    except codec.DecodeFailure:
        # A Decimal that is NaN where a text belongs is a bare word in a document. The records around it are still to be told apart.
        texts = _split_objects(body)
        if b",".join(texts) != body:
            raise
        return texts


def _split_objects(body: bytes) -> list[bytes]:
    texts: list[bytes] = []
    begin = depth = 0
    for found in _BRACES.finditer(body):
        depth += {b"{": 1, b"}": -1}.get(found[0], 0)
        if depth == 0 and found[0] == b"}":
            texts.append(body[begin : found.end()])
            begin = found.end() + 1
    return texts
