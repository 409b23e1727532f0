"""OS files."""

from __future__ import annotations

from typing import Unpack

from msgspec import structs

from ..config import RetryPolicy, Timeout
from ..models.json_records import JsonRecord, UploadReply
from ..paging import Pager
from ..wire import Response
from .base import JsonBody, ListOptions, Parameters, RequestContext, listed

__all__ = ["Files"]


class Files:
    """`arm.files`. "Access to upload for different types of OS files are configured for each ARM client".

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses,
    `ConfigurationError`.
    """

    def __init__(self, context: RequestContext) -> None:
        self._context = context

    def list(self, *, parameters: Parameters | None = None, **options: Unpack[ListOptions]) -> Pager[JsonRecord]:
        """The OS files ("GET one or more OS files"). The path is inferred; what they hold is on no public page: mappings, as they came.

        Args:
            parameters: criteria by the API's own names, all lower case; no public page shows them.
            options: `maximum_count`, `query`, `page_no`, `page_size`, `user_id`, `language`, `allow_truncated`, `timeout`, `retry`: as
                `arm.customers.list`.

        https://docs.amili.dev/get-one-or-more-os-files-4205281e0
        """
        return listed(self._context, "files.list", JsonRecord, parameters, **options)

    async def get(
        self,
        file_id: int | str,
        *,
        parameters: Parameters | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> Response:
        """One OS file. Raises `NotFoundError` where there is none.

        The path is inferred, and whether the answer is the file itself or JSON is on no public page: so it is given as it came, `body`
        its bytes (64 MB at the most), `headers["content-type"]` their type, `json()` the parsed JSON where it is that.

        https://docs.amili.dev (Files, "GET one OS file")
        """
        request = self._context.request("files.get", query=parameters, path={"fileid": file_id})
        return await self._context.transport.send(structs.replace(request, accept="*/*"), timeout=timeout, retry=retry)

    async def upload(
        self,
        files: JsonBody,
        *,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> UploadReply:
        """Uploads one or more OS files in one JSON body. Never repeated after a doubtful outcome (`OutcomeUnknownError`).

        Which fields the body has is on no public page: it takes a mapping by the API's own names. Where the content of a file belongs,
        put a `FileContent`: it goes out as base64, read and encoded in pieces while it is sent. That it is base64 is an assumption.

        A 207 says that the files did not all fare alike: look at each of `reply.files`.

        Args:
            files: the body, for example `{"files": [{"fileName": "a.pdf", "content": FileContent("a.pdf")}]}` (its names are made up).
            user_id, timeout, retry: for this call.

        Raises:
            RecordError: the body can't be sent, or a file can't be read.

        https://docs.amili.dev/post-upload-one-or-more-os-files-3942683e0
        """
        return await self._context.write(
            "files.upload", files, UploadReply, user_id=user_id or self._context.user_id, timeout=timeout, retry=retry
        )
