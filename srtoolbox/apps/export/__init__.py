"""Networks as files for other programs: ONNX and torch.export.

`form` is the module that is exported, `writer` writes it, and `parity` compares what was written.
"""

from srtoolbox.apps.export.form import METADATA
from srtoolbox.apps.export.writer import ExportedFile, export_files, export_onnx, export_torch

__all__ = ["METADATA", "ExportedFile", "export_files", "export_onnx", "export_torch"]
