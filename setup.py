"""Metadata of srtoolbox. The configs travel inside the package (srtoolbox/configs), so a wheel finds them by name."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "srtoolbox/__init__.py").read_text()).group(1)


class BuildWithConfigs(build_py):
    """Copies configs/ into the package. (A package_dir entry would do so too, but then an editable install needs an
    import hook, and a folder called srtoolbox, such as the clone seen from its parent, would hide the package.)"""

    def run(self):
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "srtoolbox/configs"
            shutil.copytree(HERE / "configs", target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))


setup(
    name="srtoolbox",
    version=VERSION,
    description="A configurable PyTorch toolbox for single-image super-resolution",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    package_dir={"": "."},  # said outright, it makes an editable install a plain path entry
    packages=find_packages(include=["srtoolbox", "srtoolbox.*"]),
    package_data={"srtoolbox": ["py.typed", "apps/*/assets/*", "apps/zoo/networks.json", "metrics/*.npz"]},
    cmdclass={"build_py": BuildWithConfigs},
    install_requires=[
        "addict>=2.4",
        "torch>=2.10",
        "torchvision",
        "numpy>=2.0",
        "opencv-python>=4.10",
        "lmdb>=1.4",
        "pyyaml>=6.0",
        "scikit-image>=0.24",
        "scipy>=1.11",
        "tensorboard>=2.15",
        "pillow>=11.3",
        "rich>=13",
        "matplotlib>=3.8",
    ],
    extras_require={
        "browser": ["playwright>=1.49"],  # drives Chromium in tests of the report
        "compact": ["zstandard>=0.22"],
        "completion": ["argcomplete>=3.3"],  # Tab in a shell
        "formats": ["pillow-heif>=1.0", "pillow-jxl-plugin>=1.3"],  # to read HEIC and JPEG XL
        "hub": ["datasets>=3.0"],
        "metrics": [  # what pyiqa needs: itself it is installed with --no-deps, for it brings a second opencv
            "accelerate",
            "einops",
            "facexlib",
            "openai-clip",
            "pandas",
            "requests",
            "timm>=0.8",
            "tqdm",
            "transformers>=5.0",
        ],
        "onnx": ["onnx>=1.17", "onnxruntime>=1.20", "onnxscript>=0.5"],
        "optimizers": ["pytorch_optimizer>=4.1"],  # Adan, Prodigy, SOAP, schedule-free AdamW and SGD
        "safetensors": ["safetensors>=0.4"],
        "spandrel": ["spandrel>=0.4"],  # opens files of about forty more architectures
        "sweep": ["optuna>=4.0"],  # searches beyond a grid
        "ui": ["starlette>=1.0", "uvicorn>=0.30"],  # the page for upscaling
        "video": ["av>=14"],
        "wandb": ["wandb>=0.18"],
        "test": [
            "pytest>=8",
            "pytest-timeout",
            "pytest-xdist",
            "argcomplete>=3.3",
            "hypothesis",
            "mypy",
            "ruff",
            "pytorch_optimizer>=4.1",
            "zstandard>=0.22",
            "safetensors>=0.4",
            "spandrel>=0.4",
            "onnx>=1.17",
            "onnxruntime>=1.20",
            "onnxscript>=0.5",
            "av>=14",
            "starlette>=1.0",
            "uvicorn>=0.30",
            "pillow-heif>=1.0",
            "pillow-jxl-plugin>=1.3",
        ],
    },
    entry_points={"console_scripts": ["srtoolbox=srtoolbox.cli:main"]},
)
