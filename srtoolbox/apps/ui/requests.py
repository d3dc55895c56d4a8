"""The answers to the page's requests. Who has no token gets nothing; other sites' pages cannot ask in a user's name."""

from __future__ import annotations

import hmac
import itertools
import json
import secrets
import zipfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from srtoolbox import __version__
from srtoolbox.apps.report.page import VIEWER_LEVELS, svg_filter
from srtoolbox.apps.report.page import asset as report_asset
from srtoolbox.apps.ui.jobs import MOST_TIMES, Job, Settings, read_scale
from srtoolbox.apps.ui.queue import Queue
from srtoolbox.apps.ui.store import Store
from srtoolbox.apps.ui.uploads import Upload
from srtoolbox.apps.ui.weights import Networks
from srtoolbox.apps.video.frames import frame_at
from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import encode_image, read_image, to_uint8
from srtoolbox.image.file_types import BROWSER_TYPES

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_JSON_BYTES = 2**16
_REFUSAL = "This page needs the whole address that `srtoolbox ui` printed, with its token. Open that one.\n"
_GONE = "That file is not here any more; reload the page"
_ENTRANCE = (
    '<!doctype html><html lang="en"><title>Upscale</title><link rel="icon" href="data:,">'
    '<meta http-equiv="refresh" content="0; url=/"><a href="/">To the page</a></html>'
)
"""Sent with the cookie: behind a redirect, browsers that come from a link elsewhere would not send it back."""


class Guard(BaseHTTPMiddleware):
    """Lets those in who have the token, as a cookie that the first visit sets, and adds the headers above."""

    def __init__(self, app: Any, token: str, cookie: str) -> None:  # noqa: ANN401
        super().__init__(app)
        self._token, self._cookie = token, cookie

    async def dispatch(self, request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        """Answer a request, or refuse it."""
        response = self._refused(request) or await call_next(request)
        response.headers.update(HEADERS)
        return response

    def _refused(self, request: Request) -> Response | None:
        given = request.query_params.get("token")
        if given is not None and request.url.path == "/" and request.method == "GET" and self._is_token(given):
            response = Response(_ENTRANCE, media_type="text/html")
            response.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
            return response
        if not self._is_token(request.cookies.get(self._cookie, "")):
            return PlainTextResponse(_REFUSAL, 403)
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
            return PlainTextResponse("Pages of other sites cannot use this one.\n", 403)
        return None

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())


class Requests:
    """The answers to requests, a method for each address of the page.

    Args:
        store, networks, queue: what it shows and fills.
    """

    def __init__(self, store: Store, networks: Networks, queue: Queue) -> None:
        self._store, self._networks, self._queue = store, networks, queue

    def app(self, token: str, cookie: str) -> Starlette:
        """Return the application that a server runs."""
        routes = [
            Route("/", self._page),
            Route("/page.css", self._style),
            Route("/page.js", self._script),
            Route("/state", self._state),
            Route("/files", self._upload, methods=["POST"]),
            Route("/files/{key}", self._remove, methods=["DELETE"]),
            Route("/files/{key}/image", self._before),
            Route("/weights/{key}", self._describe),
            Route("/jobs", self._start, methods=["POST"]),
            Route("/jobs/{key}", self._end, methods=["DELETE"]),
            Route("/jobs/{key}/image", self._after),
            Route("/jobs/{key}/result", self._result),
            Route("/results.zip", self._zip),
        ]
        guard = Middleware(Guard, token=token, cookie=cookie)
        handlers = {SrtoolboxError: _told, KeyError: _gone, FileNotFoundError: _gone, Exception: _broken}
        return Starlette(routes=routes, middleware=[guard], exception_handlers=handlers)  # type: ignore[arg-type]

    # ---- the page

    def _page(self, request: Request) -> Response:
        levels = "".join(f'<option value="{level}">0 … {level} levels</option>' for level in VIEWER_LEVELS)
        sides = ['<option value="0">Before</option>', '<option value="1">After</option>']
        left, right = "".join(sides), "".join(sides).replace('"1"', '"1" selected')
        parts = {"number": 0, "images": "", "left": left, "right": right, "levels": levels}
        text = Template(asset("ui.html")).substitute(
            viewer=Template(report_asset("viewer.html")).substitute(parts),
            filters="".join(svg_filter(f"difference-{level}", level) for level in VIEWER_LEVELS),
            version=__version__,
        )
        return Response(text, media_type="text/html")

    def _style(self, request: Request) -> Response:
        text = Template(report_asset("page.css")).substitute(gradient="none") + asset("ui.css")
        return Response(text, media_type="text/css")

    def _script(self, request: Request) -> Response:
        return Response(report_asset("viewer.js") + asset("ui.js"), media_type="text/javascript")

    def _state(self, request: Request) -> Response:
        shown = ("key", "name", "kind", "width", "height", "frames", "bytes")
        state = {
            "files": [{name: getattr(each, name) for name in shown} for each in self._store.all()],
            "weights": self._networks.listed(),
            "configs": self._networks.configs(),
            "jobs": [job.as_json() for job in self._queue.jobs()],
            "limits": self._store.limits._asdict() | {"times": MOST_TIMES},
        }
        return JSONResponse(state)

    # ---- files

    async def _upload(self, request: Request) -> Response:
        length = request.headers.get("content-length", "")
        if not length.isdecimal():
            return PlainTextResponse("The length of a file is told before it.\n", 411)
        name = request.query_params.get("name", "")
        with await run_in_threadpool(self._store.begin, name, int(length)) as incoming:
            try:
                async for chunk in request.stream():
                    await run_in_threadpool(incoming.write, chunk)
            except ClientDisconnect:
                return Response(status_code=400)
            upload = await run_in_threadpool(incoming.finish)
        return JSONResponse({"key": upload.key, "kind": upload.kind, "name": upload.name})

    def _remove(self, request: Request) -> Response:
        key = request.path_params["key"]
        self._queue.remove_of(key)
        self._store.remove(key)
        return JSONResponse({})

    def _describe(self, request: Request) -> Response:
        scale = request.query_params.get("scale", "")
        described = self._networks.describe(
            request.path_params["key"],
            read_scale(int(scale)) if scale.isascii() and scale.isdecimal() and len(scale) < 4 else None,
            request.query_params.get("config", ""),
        )
        return JSONResponse(described._asdict())

    def _before(self, request: Request) -> Response:
        upload = self._store.get(request.path_params["key"])
        return _image(upload.path, upload, request)

    # ---- jobs

    async def _start(self, request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _JSON_BYTES:
                raise SrtoolboxError("The page has sent more than it should; reload it")
        return await run_in_threadpool(self._started, body)

    def _started(self, body: bytes) -> Response:
        values = _object(body)
        settings = Settings.read(values)
        keys = values.get("files")
        faults = []
        for key in keys if isinstance(keys, list) else []:
            try:
                self._queue.add(self._store.get(str(key)), settings)
            except SrtoolboxError as error:
                faults.append(str(error))
            except KeyError:
                faults.append(_GONE)
        if faults:
            raise SrtoolboxError(" ".join(dict.fromkeys(faults)))
        return JSONResponse({})

    def _end(self, request: Request) -> Response:
        self._queue.end(request.path_params["key"])
        return JSONResponse({})

    def _after(self, request: Request) -> Response:
        job = self._queue.get(request.path_params["key"])
        return _image(_made(job), job.upload, request)

    def _result(self, request: Request) -> Response:
        job = self._queue.get(request.path_params["key"])
        return FileResponse(_made(job), media_type="application/octet-stream", filename=job.download_name)

    def _zip(self, request: Request) -> Response:
        path = self._store.folder / f"{secrets.token_hex(8)}.zip"
        try:
            _pack(path, [job for job in self._queue.jobs() if job.state == "done"])
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        remove = BackgroundTask(path.unlink, missing_ok=True)
        return FileResponse(path, media_type="application/zip", filename="upscaled.zip", background=remove)


def asset(name: str) -> str:
    """Return the text of a file in the folder `assets`."""
    return (Path(__file__).parent / "assets" / name).read_text(encoding="utf-8")


def _object(body: bytes) -> dict[str, Any]:
    """Return the JSON object that the page has sent. Raises SrtoolboxError."""
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise SrtoolboxError("The page has sent what cannot be read; reload it")
    return values


def _made(job: Job) -> Path:
    """Return the result of a job. Raises KeyError where there is none (yet)."""
    if job.result is None:
        raise KeyError(job.key)
    return job.result


def _image(path: Path, upload: Upload, request: Request) -> Response:
    """Return an upload, or what was made of it, as an image that browsers show; of a video, the frame asked for."""
    kind = BROWSER_TYPES.get(path.suffix)
    if kind is not None:
        return FileResponse(path, media_type=kind)
    if upload.kind == "weights":
        raise KeyError(upload.key)
    number = request.query_params.get("frame", "")
    at = int(number) if number.isascii() and number.isdecimal() and len(number) < 10 else 0
    image = frame_at(path, at / upload.rate) if upload.kind == "video" else read_image(path)
    return Response(encode_image(to_uint8(image)), media_type="image/png")


def _pack(path: Path, jobs: Sequence[Job]) -> None:
    """Write results as an archive, under names that differ."""
    taken: set[str] = set()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # they are compressed already
        for job in jobs:
            stem, _, suffix = job.download_name.rpartition(".")
            numbered = (f"{stem}{f' ({number})' if number > 1 else ''}.{suffix}" for number in itertools.count(1))
            name = next(name for name in numbered if name.lower() not in taken)
            taken.add(name.lower())
            archive.write(_made(job), name)


def _told(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


def _gone(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": _GONE}, 404)


def _broken(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "An error of the program, which its terminal tells"}, 500)
