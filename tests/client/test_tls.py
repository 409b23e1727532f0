"""Over TLS: a certificate that is trusted, and one that is not."""

import ssl

import pytest
import trustme

from amili_arm_async import ArmClient, NotSentError, RetryPolicy
from amili_arm_async.sandbox import Sandbox

pytestmark = pytest.mark.quick


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def secure(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with Sandbox(process_delay=0.0, ssl_context=context, require_customers=False) as sandbox:
        yield sandbox


async def test_bulk_over_tls_with_our_own_authority(secure, authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with ArmClient(2218, auth=secure.token, base_url=secure.base_url, ssl=context) as arm:
        source = ({"documentNo": str(n), "documentType": "IN", "customerNo": "1", "ledgerNote": "x" * 500} for n in range(3000))
        report = await arm.documents.create_many(source)

    assert report.counts["succeeded"] == 3000
    assert secure.documents.total_taken == 3000


async def test_an_unknown_certificate_sends_nothing(secure):
    async with ArmClient(2218, auth=secure.token, base_url=secure.base_url, retry=RetryPolicy(attempts=1)) as arm:
        with pytest.raises(NotSentError):
            await arm.documents.create({"documentNo": "1", "documentType": "IN", "customerNo": "1"})

    assert secure.documents.total_delivered == 0
