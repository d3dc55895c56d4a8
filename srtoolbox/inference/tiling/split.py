"""The body of a network on the whole picture, the upsampling behind it piece by piece: exact, small and fast."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from srtoolbox.dist import unwrap
from srtoolbox.inference.tiling.tiles import Span, spans
from srtoolbox.interfaces import NetworkWrapper

AREA = 8192
"""Most LR pixels of a piece: small enough for the caches, which pays for what it sees around it. On MSRResNet a little
faster than 32768, with three quarters of the memory (docs/large_pictures.md)."""


@runtime_checkable
class Splits(Protocol):
    """A network whose forward is `reconstruct(extract(lq), lq)`."""

    reconstruct_field: int
    """Radius in LR pixels of what `reconstruct` sees, of the features and of the picture."""

    def extract(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) -> features (N, F, H / k, W / k)."""

    def reconstruct(self, features: Tensor, lq: Tensor) -> Tensor:
        """The features and the picture that they are of -> (N, C, scale * H, scale * W)."""


class Split(NetworkWrapper):
    """A network with the same facts that upsamples its features piece by piece.

    At four times the size a feature map takes sixteen times the memory; so nearly all that a network with several
    upsampling steps needs, it needs there, but there it sees only few pixels around.

    Args:
        network: one of NETWORKS that has `extract` and `reconstruct`.
        area: most LR pixels of a piece; a picture of no more is not cut.
    """

    def __init__(self, network: nn.Module, area: int = AREA) -> None:
        super().__init__(unwrap(network))
        self.area = area

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, scale * H, scale * W)."""
        height, width = lq.shape[-2:]
        if height * width <= self.area:
            return self.network(lq)
        features = self.network.extract(lq)
        cell = width // features.shape[-1]
        across = _side(width, self.area)
        halo, result = self.network.reconstruct_field, None
        for rows in spans(height, max(1, self.area // across), halo, cell):
            for columns in spans(width, across, halo, cell):
                piece = self.network.reconstruct(_cut(features, rows, columns, cell), _cut(lq, rows, columns))
                if result is None:
                    result = piece.new_empty(*piece.shape[:2], height * self.scale, width * self.scale)
                place(result, piece, rows, columns, self.scale)
        return result


def _side(width: int, area: int) -> int:
    """Columns of a piece: all (whole rows lie in one piece in memory) unless it would be a mere strip."""
    side = int(area**0.5)
    return width if width <= 4 * side else side


def _cut(tensor: Tensor, rows: Span, columns: Span, cell: int = 1) -> Tensor:
    return tensor[..., rows.start // cell : rows.stop // cell, columns.start // cell : columns.stop // cell]


def place(result: Tensor, part: Tensor, rows: Span, columns: Span, scale: int) -> None:
    """Write what counts of the result of a window to where it belongs in the whole result."""
    inside = [slice((span.low - span.start) * scale, (span.high - span.start) * scale) for span in (rows, columns)]
    target = [slice(span.low * scale, span.high * scale) for span in (rows, columns)]
    result[..., target[0], target[1]] = part[..., inside[0], inside[1]]
