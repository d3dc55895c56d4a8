"""torchvision, which is imported through here only.

Built for another torch than the one at hand (a CUDA build beside a CPU torch), its compiled
operators are missing, and the plain import dies: "operator torchvision::nms does not exist". With
their schemas declared its models work; `torchvision.ops` and `.io`, unused here, do not.
"""

from __future__ import annotations

import importlib
import re
import sys
from functools import cache
from types import ModuleType

import torch

from srtoolbox.errors import SrtoolboxError

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_declared: list[torch.library.Library] = []  # a schema lives as long as its library object


@cache
def torchvision_models() -> ModuleType:
    """The module `torchvision.models`. The first call takes seconds.

    Raises:
        SrtoolboxError: torchvision is not installed, or does not fit this torch.
    """
    for _ in range(len(_SCHEMAS) + 1):
        try:
            return importlib.import_module("torchvision.models")
        except ImportError as error:
            raise SrtoolboxError(f"torchvision cannot be imported ({error}); see docs/install.md") from error
        except RuntimeError as error:
            operator = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if operator is None or operator[1] not in _SCHEMAS:
                raise SrtoolboxError(f"torchvision does not fit torch {torch.__version__}: {error}") from error
            library = torch.library.Library("torchvision", "FRAGMENT")
            library.define(_SCHEMAS[operator[1]])
            _declared.append(library)
            for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
                del sys.modules[name]  # it is half imported
    raise SrtoolboxError(f"torchvision does not fit torch {torch.__version__}; see docs/install.md")
