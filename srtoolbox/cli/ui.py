"""Serve a page for upscaling: drop images or a video into the browser, compare, download."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from srtoolbox.cli.options import CommandParser, add_device, add_plugin, positive, terminable

SUMMARY = "upscale in the browser: a page that this machine serves"
EXAMPLE = """example:
  python tools/ui.py                         # drop weights and images into the page that opens at this address
  python tools/ui.py --weights models/ --port 8760
  python tools/ui.py --weights models/ --host 0.0.0.0 --max-pixels 20000000

It listens on 127.0.0.1, which no other machine reaches. --host with another address lets all machines that reach it
use this one's processor, if they have the token; what is sent is not encrypted. See docs/ui.md."""


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = CommandParser("ui", __doc__, EXAMPLE)
    add = parser.add_argument
    add("--weights", metavar="DIR", help="a folder with files of weights to choose from")
    config = "a config whose model.generator is the network of weights that are not recognised; as often as wanted"
    add("--config", dest="configs", action="append", default=[], metavar="FILE", help=config)
    host = "the address to listen on (default: 127.0.0.1: this machine alone)"
    add("--host", default="127.0.0.1", metavar="NAME", help=host)
    add("--port", type=int, default=0, metavar="N", help="the port (default: one that is free)")
    add(
        "--token",
        metavar="TEXT",
        help="16 characters or more that the address must have; lists of processes show it (default: a new one)",
    )
    pixels = "of an image, or of a video's frame (default: 50000000)"
    add("--max-pixels", type=positive, default=50_000_000, metavar="N", help=pixels)
    add("--max-files", type=positive, default=200, metavar="N", help="at a time (default: 200)")
    add("--max-bytes", type=positive, default=2_000_000_000, metavar="N", help="of a file (default: 2000000000)")
    add_device(parser)
    add_plugin(parser)
    args = parser.parse(argv)
    if not 0 <= args.port < 65536:
        parser.error(f"--port is 0 ... 65535, got {args.port}")
    from srtoolbox.errors import SrtoolboxError

    try:
        from srtoolbox.apps.ui.server import is_local, serve
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise SrtoolboxError(f"the page needs the package {error.name}: pip install 'srtoolbox[ui]'") from error
    from srtoolbox.apps.ui.uploads import Limits

    parser.prepare(args)

    def ready(address: str, stop: Callable[[], None]) -> None:
        print(f"open {address}  (Ctrl-C ends it, and deletes what was uploaded)", flush=True)
        if not is_local(args.host):
            print("warning: other machines can reach this page; keep its address, which has the token", flush=True)

    limits = Limits(args.max_pixels, args.max_files, args.max_bytes)
    with terminable(), parser.option_errors():
        serve(
            args.weights,
            configs=args.configs,
            host=args.host,
            port=args.port,
            token=args.token,
            limits=limits,
            device=args.device,
            ready=ready,
        )
    return 0
