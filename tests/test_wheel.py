"""What a user installs: one wheel with the model in it, that works in an empty folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import REPOSITORY


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder,
        REPOSITORY,
    ]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_is_small_enough_and_holds_what_it_must(wheel: Path):
    assert wheel.stat().st_size <= 100_000_000
    names = set(zipfile.ZipFile(wheel).namelist())
    for file in (
        "model.onnx",
        "model.safetensors",
        "holders.safetensors",
        "tokenizer.json",
        "config.json",
        "metrics.json",
    ):
        assert f"stancelib/models/base/{file}" in names
    assert {"stancelib/py.typed", "stancelib/html/page.css", "stancelib/html/page.js"} <= names
    assert {name.split("/")[0] for name in names} == {"stancelib", wheel.name.split("-py3")[0] + ".dist-info"}


def test_it_works_away_from_the_repository(wheel: Path, tmp_path: Path):
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    zipfile.ZipFile(wheel).extractall(site)
    code = "import stancelib as s; print(s.__file__); print(s.predict('Norda rules out soldiers on the ground.'))"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    ran = subprocess.run([sys.executable, "-c", code], cwd=empty, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    where, prediction = ran.stdout.splitlines()
    assert where.startswith(str(site))
    assert prediction.startswith("oppose")
