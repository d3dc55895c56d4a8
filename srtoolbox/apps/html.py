"""Parts of every page of one file: head, the policy that a browser holds it to, names, tables."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from string import Template

BEST = '<span class="sign" aria-hidden="true">★</span><span class="unseen"> best</span>'
_HEAD = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="$policy">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="srtoolbox">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>$title</title>
<style>$style</style>
</head>
""")


def page_head(title: str, style: str, policy: str) -> str:
    """Return a page up to its body; `policy` is a Content-Security-Policy."""
    return _HEAD.substitute(policy=policy, title=escape(title), style=style)


def script_source(script: str) -> str:
    """Return what a policy says for a browser to run no other script than a page's own."""
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return f"script-src 'sha256-{digest}'"


def closed_policy(script: str) -> str:
    """Return the policy of a page that holds all its images, and asks for nothing."""
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; {script_source(script)}"


def readable(text: str) -> str:
    """Return text that UTF-8 can hold: names of files may have bytes that are no characters."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def named(text: str) -> str:
    """Return a name, escaped, so that it cannot turn the direction of the text around it."""
    return f"<bdi>{escape(text)}</bdi>"


def table(head: str, rows: Sequence[str], label: str, *, kind: str = "") -> str:
    """Return a table that scrolls by itself where it is wider than the page."""
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(label)}"><table class="{kind}">'
        f"<thead>{head}</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
