"""By hand with httpx and pydantic, as the pages of both show it: `json=` with what `model_dump` gives."""

from functools import partial
from typing import Any

from .httpx_pydantic import Customer, CustomersBatch, send
from .rounds import serve


def _json(batch: CustomersBatch) -> dict[str, Any]:
    return {"json": batch.model_dump(mode="json", by_alias=True, exclude_unset=True)}


if __name__ == "__main__":
    serve(("httpx", "pydantic"), Customer.model_validate, partial(send, body=_json))
