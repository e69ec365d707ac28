"""What stancelib raises. Every message says what was wrong, where, and what to do."""

from __future__ import annotations


class StancelibError(Exception):
    """Base of all errors that stancelib raises on purpose; the command line prints them without a traceback."""


class InputError(StancelibError, ValueError):
    """A text that cannot be classified: not a string, missing, or blank."""


class FileError(StancelibError, OSError):
    """A file that cannot be read or written, or does not hold what was asked for."""


class ModelError(StancelibError):
    """A checkpoint that is not there, is not complete, is damaged, or is of another kind."""


class MissingExtraError(StancelibError, ImportError):
    """A feature whose optional dependency is not installed."""

    def __init__(self, feature: str, package: str, extra: str) -> None:
        super().__init__(f'{feature} needs {package}, which is not installed: pip install "stancelib[{extra}]"')
