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
        """Lists the OS files. The path is inferred; no public page shows what they hold: mappings, as they came.

        Args:
            parameters: criteria by the API's own names, all lower case; no public page shows them.
            **options: `maximum_count`, `query`, `page_no`, `page_size`, `user_id`, `language`, `allow_truncated`, `timeout`, `retry`, as
                in `arm.customers.list`.

        Returns:
            The list; nothing is sent before you iterate it.

        Raises:
            TruncatedListError: after the last record: the list reached the cap, or gave fewer records than it announced.
            ConfigurationError: an argument is out of its range.

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
        """Fetches an OS file by id.

        The path is inferred, and no public page says whether the response is the file itself or JSON, so it is returned as it came.

        Args:
            file_id: the id.
            parameters: query parameters by the API's own names, all lower case; no public page shows them.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            The response: `body` is its bytes, at most 64 MB, `headers["content-type"]` their type, `json()` the value where they are
            JSON.

        Raises:
            NotFoundError: there is no such file.

        https://docs.amili.dev (Files, "GET one OS file")
        """
        request = self._context.request("files.get", query=parameters, path={"fileid": file_id})
        transport = self._context.transport
        timeout = (timeout or transport.timeout).for_job()
        return await transport.send(structs.replace(request, accept="*/*"), timeout=timeout, retry=retry)

    async def upload(
        self,
        files: JsonBody,
        *,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> UploadReply:
        """Uploads one or more OS files in one JSON body. It is never repeated when the outcome is unknown.

        No public page shows the fields of the body: it is a mapping with the API's own names. Put a `FileContent` where the content of a
        file belongs: it is sent as base64, read and encoded in pieces. That it is base64 is an assumption.

        A 207 says that the files ended differently: look at each of `reply.files`.

        Args:
            files: the body, for example `{"files": [{"fileName": "a.pdf", "content": FileContent("a.pdf")}]}` (these names are made up).
            user_id: the user id that this call names. Default: the client's.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            What became of each file.

        Raises:
            RecordError: the body can't be sent, or a file can't be read.
            OutcomeUnknownError: it may have been accepted: look it up before you repeat it.

        https://docs.amili.dev/post-upload-one-or-more-os-files-3942683e0
        """
        timeout = (timeout or self._context.transport.timeout).for_job()
        return await self._context.write(
            "files.upload", files, UploadReply, user_id=user_id or self._context.user_id, timeout=timeout, retry=retry
        )
