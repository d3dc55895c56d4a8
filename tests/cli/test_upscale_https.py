"""Images from https addresses, from a real server on this machine that behaves in every bad way."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from srtoolbox.cli import main
from srtoolbox.errors import ImageError
from srtoolbox.image import encode_image, read_image
from srtoolbox.image.fetching import fetch

PICTURE = encode_image(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))


class Misbehaving(BaseHTTPRequestHandler):
    """Each path is another way to answer."""

    def do_GET(self) -> None:
        with contextlib.suppress(OSError):  # the client has gone, as it should
            getattr(self, "do_" + self.path.strip("/").partition(".")[0].partition("?")[0])()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass

    def head(self, length: int | None = len(PICTURE), status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def do_good(self) -> None:
        self.head()
        self.wfile.write(PICTURE)

    def do_moved(self) -> None:
        self.head(0, 302, Location="/good.png")

    def do_to_http(self) -> None:
        self.head(0, 302, Location="http://127.0.0.1:9/good.png")

    def do_to_file(self) -> None:
        self.head(0, 302, Location="file:///etc/passwd")

    def do_circle(self) -> None:
        self.head(0, 302, Location=f"/circle?{self.path.count('x') * 'x'}x")

    def do_missing(self) -> None:
        self.head(0, 404)

    def do_huge(self) -> None:
        self.head(2**40)

    def do_endless(self) -> None:
        self.head(None)
        while True:
            self.wfile.write(bytes(2**16))

    def do_short(self) -> None:
        self.head()
        self.wfile.write(PICTURE[:-9])

    def do_short_chunk(self) -> None:
        self.head(None, **{"Transfer-Encoding": "chunked"})
        self.wfile.write(b"fff\r\n" + PICTURE[:100])

    def do_dripping(self) -> None:
        self.head(2**16)
        while True:
            self.wfile.write(b"x")
            time.sleep(0.05)

    def do_dripping_head(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            self.wfile.write(b"x")
            time.sleep(0.05)

    def do_silent(self) -> None:
        time.sleep(20)

    def do_text(self) -> None:
        self.head(18)
        self.wfile.write(b"this is no image")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 and its key, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the program openssl, which makes a certificate")
    folder = tmp_path_factory.mktemp("certificate")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(folder / "key"), "-out", str(folder / "cert")]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "both").write_bytes((folder / "key").read_bytes() + (folder / "cert").read_bytes())
    return folder / "both"


@pytest.fixture(scope="module")
def address(certificate: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Misbehaving)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.fixture(autouse=True)
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("no_proxy", "*")


def test_what_the_server_has_is_fetched(address: str) -> None:
    assert fetch(f"{address}/good.png") == PICTURE
    assert fetch(f"{address}/moved.png") == PICTURE


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("to_http", r"redirects to http://127\.0\.0\.1:9/good\.png, which is not https"),
        ("to_file", "302 .*edirection to url 'file:///etc/passwd' is not allowed"),
        ("circle", "the server answers 302"),
        ("missing", "the server answers 404"),
        ("huge", "1099511627776 bytes, more than the 100000 allowed"),
        ("endless", "more than the 100000 bytes allowed"),
        ("short", "broke off"),
        ("short_chunk", "broke off"),
        ("dripping", "took"),
        ("dripping_head", "took"),
        ("silent", "took|timed out"),
    ],
)
def test_bad_servers(address: str, path: str, words: str) -> None:
    with pytest.raises(ImageError, match=words) as caught:
        fetch(f"{address}/{path}.png", max_bytes=100_000, seconds=1 if words.startswith("took") else 30)
    assert str(caught.value).startswith(f"{address}/{path}.png: ")


def test_only_https_and_only_certificates_that_are_trusted(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in (address.replace("https", "http"), "file:///etc/passwd", "https:///x.png"):
        with pytest.raises(ImageError, match="only addresses https"):
            fetch(wrong)
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(ImageError, match=r"cannot be fetched.*certificate"):
        fetch(f"{address}/good.png")
    with pytest.raises(ImageError, match="cannot be fetched"):
        fetch("https://127.0.0.1:9/nobody.png")


def test_upscale_takes_addresses(bicubic: str, address: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    addresses = [f"{address}/{name}.png" for name in ("short", "good", "text", "to_http")]
    assert main(["upscale", bicubic, *addresses, "-o", str(tmp_path)]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["good_sr.png"]
    assert read_image(tmp_path / "good_sr.png").shape == (40, 60, 3)
    errors = [line for line in capsys.readouterr().out.splitlines() if line.startswith("error")]
    assert len(errors) == 3 and all(address in line for line in errors)


@pytest.mark.slow
def test_ctrl_c_does_not_wait_for_a_download(bicubic: str, address: str, tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, str(root / "tools/upscale.py"), bicubic, f"{address}/dripping.png", "-o", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ)
    time.sleep(12)  # PyTorch is loaded by then, and the download on its way
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)  # the download would never end
    assert process.returncode == 130
    assert not list(tmp_path.iterdir())
