"""The errors users see. A message names the file, key or line at fault and what to do; commands print it alone."""


class SrtoolboxError(Exception):
    """Base of every error whose message is written for the user."""


class ConfigError(SrtoolboxError):
    """A config that cannot be read or that asks for something impossible. `faults` holds one line each."""

    def __init__(self, faults: str | list[str]) -> None:
        self.faults = [faults] if isinstance(faults, str) else list(faults)
        super().__init__("\n".join(self.faults))


class RegistryError(SrtoolboxError):
    """An unknown, doubly registered or wrongly called component."""


class ImageError(SrtoolboxError):
    """A picture that cannot be read or written; the message names the file."""


class DataError(SrtoolboxError):
    """A store, pair or dataset that is incomplete or does not fit; the message names the files."""


class MissingDataError(DataError):
    """A folder or store that is not there at all: evaluation reports an absent test set and goes on with the others."""

    def __init__(self, message: str, path: str | None = None) -> None:
        self.path = path
        super().__init__(message)


class CheckpointError(SrtoolboxError):
    """A checkpoint that is missing, damaged or does not fit."""


class RunError(SrtoolboxError):
    """A run that cannot start or go on: a used work_dir, a loader that died, a loss that is not finite."""
