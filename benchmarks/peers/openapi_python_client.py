"""The client that openapi-python-client makes of `openapi.json`: its models, and its asynchronous call for a batch."""

from typing import Any

from described import AuthenticatedClient
from described.api.customers import create_customers_batch
from described.models import BatchAnswer, Customer, CustomersBatch, Metadata

from .rounds import CLIENT_NO, TOKEN, USER_ID, bounded, serve


async def send(address: str, made: list[Any]) -> None:
    """Sends the customers."""
    async with AuthenticatedClient(base_url=address, token=TOKEN, raise_on_unexpected_status=True) as client:

        async def post(some: list[Any]) -> None:
            batch = CustomersBatch(metadata=Metadata(user_id=USER_ID), customers=some)
            answer = await create_customers_batch.asyncio(CLIENT_NO, client=client, body=batch)
            assert isinstance(answer, BatchAnswer)

        await bounded(post, made)


if __name__ == "__main__":
    serve(("openapi-python-client",), Customer.from_dict, send)
