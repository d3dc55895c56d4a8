"""Python reads this at its start where the folder is on PYTHONPATH: the processes that tests start lack the same."""

import importlib.util
from pathlib import Path

spec = importlib.util.spec_from_file_location("hidden_from_srtoolbox", Path(__file__).parent.parent / "hidden.py")
hidden = importlib.util.module_from_spec(spec)
spec.loader.exec_module(hidden)
hidden.install()
