"""Downloads into memory: by https alone, of a limited size, within a limited time."""

from __future__ import annotations

import http.client
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import Future, wait

from srtoolbox import __version__
from srtoolbox.errors import ImageError

MAX_DOWNLOAD = 2**28  # bytes
SECONDS = 60.0
_STALL = 15.0  # seconds without a byte
_PIECE = 2**16


class _FailedError(Exception):
    """The reason of a failed download, in words for the user."""


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https addresses, and refuses all others."""

    max_redirections = 5

    def redirect_request(self, req, fp, code, msg, headers, newurl) -> urllib.request.Request | None:  # noqa: ANN001 - as in urllib
        if urllib.parse.urlsplit(newurl).scheme != "https":
            raise _FailedError(f"redirects to {newurl[:200]}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(
    url: str, *, max_bytes: int = MAX_DOWNLOAD, seconds: float = SECONDS, stop: threading.Event | None = None
) -> bytes:
    """Return the content of an https address.

    Certificates are verified, proxies taken from the environment; nothing is written to the disk.

    Args:
        url: `https://...`.
        max_bytes: more than that is refused, as soon as it is known.
        seconds: all of it together, whatever the server does.
        stop: ends the wait, and so the download, once it is set.

    Raises:
        ImageError: names the address and what is wrong.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise ImageError(f"{url}: only addresses https://... are fetched")
    deadline = time.monotonic() + seconds
    outcome: Future[bytes] = Future()
    # a thread of its own: no time limit of the libraries covers look-ups and headers that drip
    threading.Thread(target=_download, args=(url, max_bytes, deadline, outcome), daemon=True).start()
    while wait([outcome], timeout=0.1).not_done:
        if stop is not None and stop.is_set():
            raise ImageError(f"{url}: interrupted")
        if time.monotonic() > deadline:
            raise ImageError(f"{url}: took more than {seconds:g} seconds; download it by other means")
    error = outcome.exception()
    if error is not None:
        raise ImageError(f"{url}: {_reason(error)}")
    return outcome.result()


def _download(url: str, max_bytes: int, deadline: float, outcome: Future[bytes]) -> None:
    try:
        outcome.set_result(_content(url, max_bytes, deadline))
    except Exception as error:  # http.client, ssl and socket raise many kinds
        outcome.set_exception(error)


def _reason(error: BaseException) -> str:
    if isinstance(error, _FailedError):
        return str(error)
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answers {error.code} {error.reason}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else str(error) or type(error).__name__
    return f"cannot be fetched ({reason})"


def _content(url: str, max_bytes: int, deadline: float) -> bytes:
    opener = urllib.request.OpenerDirector()  # the defaults would also do http, ftp and file
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _OnlyHttps(),
    ):
        opener.add_handler(handler)
    request = urllib.request.Request(url, headers={"User-Agent": f"srtoolbox/{__version__}"})  # noqa: S310 - https
    with opener.open(request, timeout=min(_STALL, max(0.1, deadline - time.monotonic()))) as response:
        announced = response.headers.get("Content-Length", "")
        expected = int(announced) if announced.isdigit() else None
        if expected is not None and expected > max_bytes:
            raise _FailedError(f"{expected} bytes, more than the {max_bytes} allowed")
        content = bytearray()
        try:
            while piece := response.read1(_PIECE):
                content += piece
                if len(content) > max_bytes:
                    raise _FailedError(f"more than the {max_bytes} bytes allowed")
                if time.monotonic() > deadline:
                    raise _FailedError("took too long")
        except http.client.IncompleteRead:
            raise _FailedError("broke off in the middle; try again") from None
        except TimeoutError:
            raise _FailedError(f"sent nothing for {_STALL:g} seconds; try again") from None
    if expected is not None and len(content) != expected:
        raise _FailedError(f"broke off after {len(content)} of {expected} bytes; try again")
    return bytes(content)
