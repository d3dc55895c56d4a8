"""The report of the data checker, as a value and as text."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from srtoolbox.text import counted

KINDS = {
    "stores": "stores that cannot be read",
    "damaged": "images that cannot be read",
    "unpaired": "images without a partner",
    "sizes": "pairs whose sizes do not fit",
    "content": "pairs that show different images",
    "identical": "identical images",
    "alike": "images that are the same but for size, compression or flips",
    "leaks": "test images that are in the training data",
}
"""The kinds of faults, in the order of the report, with their headings."""


class DataReport(NamedTuple):
    """The result of `check_data`."""

    sets: list[dict[str, Any]]
    """Of every set: name, role, and under 'gt' and 'lq' the path and statistics of the store."""
    faults: dict[str, list[str]]
    """By kind, only kinds with faults; a sentence each."""
    notes: list[str]

    def number_of_faults(self, allowed: Collection[str] = ()) -> int:
        """Return the number of faults but for those of the kinds that are allowed."""
        return sum(len(faults) for kind, faults in self.faults.items() if kind not in allowed)

    def lines(self, allowed: Collection[str] = ()) -> list[str]:
        """Return the report as text; kinds that are allowed are marked."""
        sides = [(each, role) for each in self.sets for role in ("gt", "lq") if role in each]
        lines = [_store_line(each, role) for each, role in sides]
        lines += [f"note: {note}" for note in self.notes]
        for kind, faults in self.faults.items():
            is_allowed = ", allowed" if kind in allowed else ""
            lines.append(f"\n{KINDS[kind]} ({kind}{is_allowed}): {len(faults)}")
            lines += ["  " + fault.replace("\n", "\n  ") for fault in faults]
        stores = {each[role]["path"]: each[role] for each, role in sides}
        images = counted(sum(store["pictures"] for store in stores.values()), "image")
        number = self.number_of_faults()
        result = f"{number} fault{'s' if number != 1 else ''}" if number else "no faults"
        return [*lines, f"\n{images} in {counted(len(stores), 'store')}: {result}"]


def _store_line(each: dict[str, Any], role: str) -> str:
    store = each[role]
    text = f"{each['role']:5} {role} {store['path']}: {store['pictures']} images"
    if "width" not in store:
        return text
    axes = [(name, store[name]) for name in ("width", "height")]
    sides = [f"{name} {s['min']} / {s['median']} / {s['max']}" for name, s in axes]
    channels = " and ".join(f"{n} {'gray' if c == 1 else 'colour'}" for c, n in store["channels"].items())
    bits = " and ".join(f"{b} bit" for b in store["bits"])
    return f"{text}, {', '.join(sides)} (least / median / most), {channels}, {bits}"
