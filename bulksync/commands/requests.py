"""Show the first requests that a run of an input would send, without sending them."""

from itertools import islice

from bulksync.client.preview import preview
from bulksync.model import Preview, Row
from bulksync.options.models import CheckOptions
from bulksync.options.target import target_of
from bulksync.reader.chunks import allowed_set
from bulksync.reader.input import open_input
from bulksync.reader.source import Source


async def first_requests(source: Source, options: CheckOptions) -> list[Preview]:
    """Return the first requests of a run, at most as many as asked for; an invalid row has none.

    Raises UsageError if the URL could leak the key or mislead, InputError if the input cannot be read.
    """
    target = target_of(options.base_url, allow_http=options.allow_http)
    with open_input(source) as content:
        rows = (row for row in content.rows(allowed_set(options.allow_status)) if isinstance(row, Row))
        return await preview(target, islice(rows, options.show))
