"""The commands' parser, with `key=value` overrides and hints, and their common options."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn

from srtoolbox.cli import COMPLETING
from srtoolbox.compat import OptionContainer, options_of
from srtoolbox.errors import OptionError
from srtoolbox.text import did_you_mean

if TYPE_CHECKING:
    from torch import nn

    from srtoolbox.apps.networks import Checkpoint

_OVERRIDE = re.compile(r"""[A-Za-z_]\w*(\.[\w-]+|\[\s*['"]?[\w-]+['"]?\s*\])*\+?=""")
CFG_OPTIONS = "--cfg-options"
EXIT_TERMINATED = 143
OVERRIDES_HELP = "config entries to change (--cfg-options is accepted)"


def tile(text: str) -> int | str:
    """The type of `--tile`: 'auto', or a number of pixels, 0 for the image in one piece."""
    if text != "auto" and not text.isdecimal():
        raise argparse.ArgumentTypeError(
            f"is auto, or a number of pixels, or 0 for the image in one piece, got {text!r}"
        )
    return text if text == "auto" else int(text)


def positive(text: str) -> int:
    """Return a whole number above 0, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number above 0 is wanted, got {text!r}")
    return int(text)


def seconds(text: str) -> float:
    """Return a number from 0.02 to 60, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0.02 <= number <= 60:
        raise argparse.ArgumentTypeError(f"seconds from 0.02 to 60 are wanted, got {text!r}")
    return number


def box(text: str) -> tuple[int, int, int, int]:
    """Return (10, 20, 64, 48) for '10,20,64,48', for argparse."""
    words = text.split(",")
    are_numbers = len(words) == 4 and all(word.strip().isdecimal() for word in words)
    if not are_numbers or 0 in map(int, words[2:]):
        example = "x,y,width,height in pixels is wanted, such as 10,20,64,48"
        raise argparse.ArgumentTypeError(f"{example}; got {text!r}")
    x, y, width, height = map(int, words)
    return x, y, width, height


def add_device(place: OptionContainer) -> None:
    """`--device`, for `select_device`."""
    place.add_argument("--device", help="cpu, cuda, cuda:1, for ONNX also directml, coreml (default: a GPU)")


def add_plugin(place: OptionContainer) -> None:
    """`--plugin`, as often as wanted, as `plugins`, for `load_plugins`."""
    text = "Python file with components of yours"
    place.add_argument("--plugin", dest="plugins", action="append", default=[], metavar="FILE", help=text)


def add_weights_options(place: OptionContainer, *, scale_type: Callable[[str], int] = int) -> None:
    """Add `--config`, `--scale` and `--no-trial`: what weights of other projects leave open."""
    config = "for weights that are not recognised: a config whose model.generator they are for"
    place.add_argument("--config", help=config)
    scale = "the scale of weights that fit any (SRCNN, FSRCNN, VDSR)"
    place.add_argument("--scale", type=scale_type, metavar="N", help=scale)
    add_trial(place)


def add_shard_options(place: OptionContainer, check: str) -> None:
    """Add `--shard` and `--check-shards`; `check` says what that does."""
    text = "do the I-th of N pieces, from 1 to N, which together are one run; again after an interruption"
    place.add_argument("--shard", metavar="I/N", help=text)
    place.add_argument("--check-shards", type=int, metavar="N", help=check)


def add_comparison_options(place: OptionContainer) -> None:
    """Add `--by`, `--csv` and `--out`, as `page`: what a table of runs is sorted by, and where it goes."""
    add = place.add_argument
    add("--by", metavar="KEY", help="the score that sorts the runs, as set5/psnr (default: the first one)")
    add("--csv", metavar="FILE", help="write the table with all scores, in full precision")
    add("-o", "--out", dest="page", metavar="FILE", help="write a page with all scores, to be sorted, and the curves")


def add_trial(place: OptionContainer) -> None:
    """`--no-trial`, as `trial` of the result, for `read_network`."""
    text = "do not try other projects' weights on a photograph first: take them as they look, "
    text += "or as --config says"
    place.add_argument("--no-trial", dest="trial", action="store_false", help=text)


def add_animation_options(parser: CommandParser) -> None:
    """Take --frames, --seconds and --width, as all animations do."""
    add = parser.add_argument
    add("--frames", type=positive, default=60, metavar="N", help="at most so many (default: 60)")
    add("--seconds", type=seconds, default=0.2, metavar="S", help="for each of them (default: 0.2)")
    add("--width", type=positive, metavar="PX", help="of each image in it")


def add_network_options(parser: CommandParser) -> None:
    """Take what says how a network is loaded, see `network_loader`."""
    add_weights_options(parser, scale_type=positive)
    add_device(parser)
    add_plugin(parser)


def add_crop_option(parser: CommandParser) -> None:
    """Take --crop, a part of the image instead of the whole."""
    crop_help = "only this part, in pixels of the image given"
    parser.add_argument("--crop", type=box, metavar="X,Y,W,H", help=crop_help)


class CommandParser(argparse.ArgumentParser):
    """The parser of one command.

    Args:
        command: its name; usage shows what was typed, `train.py` or `srtoolbox train`.
        description: the help's first paragraph.
        example: the help's end.
    """

    def __init__(self, command: str, description: str | None, example: str) -> None:
        name, _, part = command.partition(" ")  # 'visualize bars' is typed as visualize.py bars
        script = f"{name}.py"
        self._has_overrides = False
        is_script = os.path.basename(sys.argv[0]) == script
        super().__init__(
            prog=f"{script} {part}".strip() if is_script else f"srtoolbox {command}",
            description=description,
            epilog=example,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def add_overrides(self, help: str = OVERRIDES_HELP) -> None:
        """Take `key=value` anywhere among the arguments, as `overrides` in the order typed."""
        self._has_overrides = True
        self.add_argument("overrides", nargs="*", default=[], metavar="key=value", help=help)

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parse arguments in any order; a fault of theirs exits with 2. Where the shell asks, complete."""
        if COMPLETING in os.environ:
            from srtoolbox.cli.completers import complete

            complete(self)
        argv = [self._hyphenated(text) for text in argv]
        if not self._has_overrides:
            return self.parse_intermixed_args(argv)
        others, overrides = self._split(argv)
        args = self.parse_intermixed_args(others)
        if args.overrides:  # what was left over for the place in the usage where overrides stand
            self.error(f"{args.overrides[0]!r} is neither an option nor of the form key=value")
        args.overrides = overrides
        return args

    def prepare(self, args: argparse.Namespace) -> None:
        """Set up the messages, and import the plugins that `--plugin` names."""
        from srtoolbox.logger import setup_logging
        from srtoolbox.plugins import load_plugins

        setup_logging()
        load_plugins(None, args.plugins)

    def take_network(self, args: argparse.Namespace) -> Checkpoint:
        """Prepare, and return the checkpoint that the arguments name; these leave `args`."""
        from srtoolbox.apps.networks import Checkpoint

        self.prepare(args)
        options = vars(args)
        del options["plugins"]
        return Checkpoint(*(options.pop(name) for name in ("checkpoint", "config", "scale", "trial")))

    @contextlib.contextmanager
    def option_errors(self) -> Iterator[None]:
        """Take an argument that an application refuses for the option of its name."""
        try:
            yield
        except OptionError as error:
            self.error(f"--{error}")

    def error(self, message: str) -> NoReturn:
        """End as argparse does, with the nearest option for one that is unknown."""
        if message.startswith("unrecognized arguments"):
            unknown = [word.partition("=")[0] for word in message.split() if word.startswith("--")]
            message += "." + "".join(did_you_mean(word, options_of(self)) for word in unknown)
        super().error(message)

    def _split(self, argv: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return other arguments and overrides, in the order typed; an option's value is none."""
        others: list[str] = []
        overrides: list[str] = []
        is_value = False
        for text in argv:
            if not is_value and text == CFG_OPTIONS:
                continue  # what follows is recognised by itself
            is_change = not is_value and is_override(text)
            (overrides if is_change else others).append(text)
            is_value = not is_value and self._takes_value(text)
        return others, overrides

    def _hyphenated(self, text: str) -> str:
        """Return an option with hyphens: `--work_dir` is `--work-dir`, as in other projects."""
        name, equals, value = text.partition("=")
        hyphenated = name.replace("_", "-")
        is_ours = name.startswith("--") and name not in options_of(self)
        return hyphenated + equals + value if is_ours and hyphenated in options_of(self) else text

    def _takes_value(self, text: str) -> bool:
        """True if this is an option, maybe shortened, whose value is the next argument."""
        options = options_of(self)
        names = [name for name in options if name == text or (text not in options and name.startswith(text))]
        if not text.startswith("--") and text not in options:
            return False
        return len(names) == 1 and options[names[0]].nargs != 0


def network_loader(parser: CommandParser, args: argparse.Namespace) -> Callable[[str], nn.Module]:
    """Return the function that loads a checkpoint as the options of `add_network_options` say."""
    from srtoolbox.apps.networks import Checkpoint, load

    parser.prepare(args)
    return lambda path: load(Checkpoint(path, args.config, args.scale, args.trial), args.device)[0]


def is_override(text: str) -> bool:
    """True if an argument reads `key.sub=value`, `key[0]=value` or `key+=[...]`, and is no file."""
    return _OVERRIDE.match(text) is not None and not os.path.exists(text)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM ends the run as Ctrl-C does: what is half written is removed."""

    def leave(*_: object) -> NoReturn:
        raise SystemExit(EXIT_TERMINATED)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
