"""The sets that the data checker looks at: stores by themselves, or those that a config names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from srtoolbox.data.datasets.base import as_list
from srtoolbox.errors import ConfigError

Role = Literal["train", "val", "test"]


class DataPart(NamedTuple):
    """One set to check: its name in messages, its role, and its stores."""

    name: str
    role: Role
    gt: str | None
    lq: str | None = None
    scale: int | None = None
    """GT size over LQ size; None takes what most pairs have."""
    lq_name: str | None = None
    max_images: int | None = None
    optional: bool = False
    """True if evaluation skips it where it is absent."""
    cut: bool = False
    """True if training cuts GT to `scale` times LQ, as evaluation does."""

    @property
    def main(self) -> str:
        """The store in which duplicates and leaks are looked for: GT where there is one."""
        return self.gt or self.lq or ""


def training_parts(
    stores: Sequence[str], lq: Sequence[str] = (), scale: int | None = None, lq_name: str | None = None
) -> list[DataPart]:
    """Return the sets of training stores, each with its LQ if `lq` names them."""
    partners: Sequence[str | None] = lq or [None] * len(stores)
    pairs = zip(stores, partners, strict=True)
    return [DataPart(gt, "train", gt, partner, scale, lq_name) for gt, partner in pairs]


def config_parts(config: Mapping[str, Any], source: str) -> list[DataPart]:
    """Return the sets of `data.train`, `data.val` and `data.test`, datasets inside others too.

    Any dataset with `gt` or `lq` paths counts, of whatever type.

    Args:
        config: a run's config.
        source: its name in errors.

    Raises:
        ConfigError: no data in it.
    """
    data = config.get("data") or {}
    parts = list(_parts((data.get("train") or {}).get("dataset"), "data.train.dataset", "train"))
    roles: tuple[Role, ...] = ("val", "test")
    for role in roles:
        sets = (data.get(role) or {}).get("datasets") or {}
        for name, node in sets.items():
            parts += _parts(node, f"data.{role}.datasets.{name}", role)
    if not parts:
        sections = "data.train.dataset, data.val.datasets, data.test.datasets"
        raise ConfigError(f"{source}: names no data ({sections})")
    return parts


def _parts(node: object, name: str, role: Role) -> Iterator[DataPart]:
    if not isinstance(node, Mapping):
        return
    gts, lqs = (as_list(node[key]) if node.get(key) else [] for key in ("gt", "lq"))
    number = max(len(gts), len(lqs))
    for place in range(number):
        yield DataPart(
            name if number == 1 else f"{name}[{place}]",
            role,
            gts[place] if place < len(gts) else None,
            lqs[place] if place < len(lqs) else None,
            node.get("scale"),
            node.get("lq_name"),
            node.get("max_images"),
            optional=role != "train",
            cut=node.get("cut") is True,
        )
    inner = node.get("datasets") or {}
    for key, item in inner.items() if isinstance(inner, Mapping) else enumerate(inner):
        yield from _parts(item, f"{name}.datasets.{key}", role)
