"""The client that OpenAPI Generator (python, asyncio) makes of `openapi.json`: its models, and its call for a batch."""

from typing import Any

from described import ApiClient, BatchAnswer, Configuration, Customer, CustomersApi, CustomersBatch, Metadata

from .rounds import CLIENT_NO, TOKEN, USER_ID, bounded, serve


async def send(address: str, made: list[Any]) -> None:
    """Sends the customers."""
    async with ApiClient(Configuration(host=address, access_token=TOKEN)) as client:
        customers = CustomersApi(client)

        async def post(some: list[Any]) -> None:
            batch = CustomersBatch(metadata=Metadata(user_id=USER_ID), customers=some)
            answer = await customers.create_customers_batch(CLIENT_NO, batch)
            assert isinstance(answer, BatchAnswer)

        await bounded(post, made)


if __name__ == "__main__":
    serve(("openapi-generator-cli",), Customer.from_dict, send)
