"""MMEngine's `{{ ... }}` templates, replaced in a file's text before it is parsed."""

from __future__ import annotations

import os
import re

from srtoolbox import system
from srtoolbox.config.evaluator.budget import FILE_BYTES, Refused

_ENVIRONMENT = re.compile(r"""\{\{['"]?\s*\$(\w+)\s*:\s*([^\s{}]*?)\s*['"]?\}\}""")
_BASE_VALUE = re.compile(r"\{\{\s*_base_\.([\w.]+)\s*\}\}")
MARK = "_base_value_{}_of_this_file_"


def substituted(text: str, path: str) -> str:
    """Replace `{{ fileDirname }}` and its kin and `{{$VARIABLE:default}}`.

    Raises:
        Refused: an environment variable is not set and has no default, or the text grows too long.
    """
    path = os.path.abspath(path)
    name = os.path.basename(path)
    stem, suffix = os.path.splitext(name)
    values = {
        "fileDirname": os.path.dirname(path),
        "fileBasename": name,
        "fileBasenameNoExtension": stem,
        "fileExtname": suffix,
    }
    for key, value in values.items():
        text = re.sub(r"\{\{\s*" + key + r"\s*\}\}", lambda _, value=value: value.replace("\\", "/"), text)
    text = _ENVIRONMENT.sub(_environment_value, text)
    if len(text) > 2 * FILE_BYTES:
        raise Refused(f"its templates make more than {2 * FILE_BYTES // 1024} KiB of it")
    return text


def _environment_value(match: re.Match) -> str:
    variable, default = match.groups()
    value = os.environ.get(variable, default)
    if not value:
        raise Refused(f"the environment variable {variable} is not set; set it, or write {{{{${variable}:default}}}}")
    return value.replace("\\", "/") if system.IS_WINDOWS else value  # in quotes: the \t of C:\train would be a tab


def extracted_base_values(text: str, quote: str = "") -> tuple[str, dict[str, str]]:
    """Replace each `{{ _base_.a.b }}` by a unique word (in `quote`s). Returns the text and word -> 'a.b'."""
    words: dict[str, str] = {}

    def mark(match: re.Match) -> str:
        word = MARK.format(len(words))
        words[word] = match.group(1)
        return quote + word + quote

    return _BASE_VALUE.sub(mark, text), words
