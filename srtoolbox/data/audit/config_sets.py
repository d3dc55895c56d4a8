"""Which stores a config's data sections name, for the data checker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from srtoolbox.data.audit.check import DataPart, Role
from srtoolbox.data.datasets.base import as_list
from srtoolbox.errors import ConfigError


def config_parts(config: Mapping[str, Any], source: str) -> list[DataPart]:
    """The sets of `data.train`, `data.val` and `data.test`, datasets inside others too.

    Any dataset with `gt` or `lq` paths counts, of whatever type.

    Args:
        config: a run's config.
        source: what errors call it.

    Raises:
        ConfigError: no data in it.
    """
    data = config.get("data") or {}
    found = list(_parts((data.get("train") or {}).get("dataset"), "data.train.dataset", "train"))
    for role in ("val", "test"):
        sets = (data.get(role) or {}).get("datasets") or {}
        for name, node in sets.items():
            found += _parts(node, f"data.{role}.datasets.{name}", role)
    if not found:
        raise ConfigError(f"{source}: names no data (data.train.dataset, data.val.datasets, data.test.datasets)")
    return found


def _parts(node: Any, name: str, role: Role) -> Iterator[DataPart]:  # noqa: ANN401 - a node of a config
    if not isinstance(node, Mapping):
        return
    gts, lqs = (as_list(node[key]) if node.get(key) else [] for key in ("gt", "lq"))
    for number in range(max(len(gts), len(lqs))):
        yield DataPart(
            name if max(len(gts), len(lqs)) == 1 else f"{name}[{number}]",
            role,
            gts[number] if number < len(gts) else None,
            lqs[number] if number < len(lqs) else None,
            node.get("scale"),
            node.get("lq_name"),
            node.get("max_images"),
            optional=role != "train",
            cut=node.get("cut") is True,
        )
    inner = node.get("datasets") or {}
    for key, item in inner.items() if isinstance(inner, Mapping) else enumerate(inner):
        yield from _parts(item, f"{name}.datasets.{key}", role)
