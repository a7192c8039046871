"""What other servers say of when to come again."""

from email.utils import parsedate_to_datetime

import httpx

MAX_RETRY_AFTER_SECONDS = 24 * 60 * 60


def read_retry_after(headers: httpx.Headers) -> float | None:
    """The seconds of `Retry-After` (RFC 9110 section 10.2.3), at most a day; None without one that
    can be read. A date counts from the answer's own `Date`, so the clocks need not agree.
    """
    said = headers.get("retry-after", "").strip()
    try:
        if said.isascii() and said.isdigit():
            seconds = float(said)
        else:
            until, now = (parsedate_to_datetime(each) for each in (said, headers.get("date", "")))
            seconds = (until - now).total_seconds()
    except (ValueError, TypeError):  # no date, or only one of both with an offset
        return None
    return min(max(seconds, 0), MAX_RETRY_AFTER_SECONDS)
