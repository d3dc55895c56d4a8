"""The server of the page: listens on this machine alone unless it is told another address."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import uvicorn

from srtoolbox.apps.ui.queue import Queue
from srtoolbox.apps.ui.requests import Requests
from srtoolbox.apps.ui.store import Store
from srtoolbox.apps.ui.uploads import Limits
from srtoolbox.apps.ui.weights import Networks
from srtoolbox.errors import OptionError
from srtoolbox.system import FileLock, acquire_or_warn, is_own

LOCAL = "127.0.0.1"
_PREFIX, _LOCK = "srtoolbox-ui-", "lock"


def serve(
    weights: str | os.PathLike[str] | None = None,
    *,
    configs: Sequence[str | os.PathLike[str]] = (),
    host: str = LOCAL,
    port: int = 0,
    token: str | None = None,
    limits: Limits = Limits(),  # noqa: B008 - a tuple of plain values
    device: str | None = None,
    ready: Callable[[str, Callable[[], None]], object] = lambda address, stop: None,
) -> None:
    """Serve the page for upscaling until Ctrl-C, or until `stop` is called.

    Uploads and results are in a folder of their own among the system's temporary files, and go with
    the server.

    Args:
        weights: a folder with files of weights to choose from; None: only those that are dropped.
        configs: config files with the networks of weights that are not recognised, to choose from.
        host: the address to listen on. Any but 127.0.0.1 lets other machines reach the page: who has
            the token may use this machine's processor and see what others upload, unencrypted.
        port: 0 takes one that is free.
        token: what the address must have; None: a new one, which cannot be guessed.
        limits: what the page takes at most.
        device: where networks run; None is a GPU where there is one.
        ready: called with the page's address, and with what ends the server.

    Raises:
        OptionError: an address that cannot be listened on, or a token that is too short.
        SrtoolboxError: `weights` is no folder, or a config has no network.
    """
    token = secrets.token_urlsafe(24) if token is None else token
    if len(token) < 16 or not token.isascii() or not token.replace("-", "").replace("_", "").isalnum():
        raise OptionError("token is at least 16 letters, digits, - and _; leave it out for one that cannot be guessed")
    with (
        _listening(host, port) as listener,
        own_folder() as folder,
    ):
        store = Store(folder, limits)
        networks = Networks(Path(weights) if weights is not None else None, store, configs)
        queue = Queue(store, networks, device)
        port = listener.getsockname()[1]
        app = Requests(store, networks, queue).app(token, cookie=f"srtoolbox_{port}")
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=3, lifespan="off")
        server = uvicorn.Server(config)

        def stop() -> None:
            server.should_exit = True

        ready(f"http://{_shown(host)}:{port}/?token={quote(token)}", stop)
        try:
            server.run(sockets=[listener])
        finally:
            queue.close()


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """Make a folder for what is uploaded and made, which goes at the end; what killed servers have left goes now."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            _remove_unused(left)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as name:
        lock, folder = FileLock(Path(name) / _LOCK), Path(name) / "files"
        folder.mkdir()
        acquire_or_warn(lock, "a server that starts meanwhile might remove it")
        try:
            yield folder
        finally:
            lock.release()  # Windows removes no file that is open


def _remove_unused(folder: Path) -> None:
    """Remove the folder of a server, if it is this user's, and none runs any more. Raises OSError."""
    if not is_own(folder) or folder.is_symlink() or not (folder / _LOCK).exists():
        return
    lock = FileLock(folder / _LOCK)
    if lock.acquire():
        lock.release()
        shutil.rmtree(folder)


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """Open the socket that the server listens on. Raises OptionError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise OptionError(f"host {host} is no address of this machine ({error.strerror or error})") from error
    listener = socket.socket(found[0], socket.SOCK_STREAM)
    with listener:
        if os.name == "posix":  # elsewhere this would let another program take the port over
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(found[4])
            listener.listen()  # now: whoever is told the address may ask at once
        except OSError as error:
            advice = "is it taken (--port 0 takes a free one), or is the host no address of this machine?"
            raise OptionError(f"port {port} of {host} cannot be used: {advice} ({error.strerror or error})") from error
        yield listener


def is_local(host: str) -> bool:
    """Return True for addresses that only this machine reaches."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _shown(host: str) -> str:
    """Return a host for an address: that of this machine where all are listened on."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - only shown
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
