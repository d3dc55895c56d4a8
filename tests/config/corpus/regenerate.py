"""Writes what MMEngine makes of each config of this folder beside it, as NAME_expected.json: the oracle of test_corpus.py.

Run it in an environment with MMEngine (0.10.7 was used): python tests/config/corpus/regenerate.py
"""

import json
import warnings
from pathlib import Path

from mmengine.config import Config

HERE = Path(__file__).resolve().parent


def encoded(value):
    """JSON that keeps tuples, and keys that are no strings, apart; paths of this folder become <corpus>."""
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value):
            return {key: encoded(item) for key, item in value.items()}
        return {"<items>": [[encoded(key), encoded(item)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {"<tuple>": [encoded(item) for item in value]}
    if isinstance(value, list):
        return [encoded(item) for item in value]
    if isinstance(value, str):
        return value.replace(str(HERE), "<corpus>")
    return value


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for path in sorted([*HERE.glob("*.py"), *HERE.glob("settings*.*")]):
        if path.name == "regenerate.py" or path.name.endswith("_expected.json"):
            continue
        result = encoded(Config.fromfile(path).to_dict())
        target = path.with_name(path.name.replace(".", "_") + "_expected.json")
        target.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(target.name)
