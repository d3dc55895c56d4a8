"""The checkpoints that tests of applications and of commands share."""

from tests.cli.conftest import bicubic, espcn

__all__ = ["bicubic", "espcn"]
