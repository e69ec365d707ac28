"""What a model folder may hold: safetensors and ONNX of its own, and nothing that runs or points elsewhere."""

import errno
import json
import os
import pickle
import random
import shutil
from pathlib import Path

import pytest
from conftest import python
from small_model import copied, small_model

from stancelib import ModelError, StanceClassifier, StancelibError

TEXT = "Norda rules out soldiers on the ground."
BACKENDS = ("onnx", "torch")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small model that may be damaged."""
    return copied(tmp_path / "model")


def answer(folder: Path, backend: str) -> str | None:
    return StanceClassifier.from_pretrained(folder, backend=backend, device="cpu").predict(TEXT).label


class Trap:
    """Runs a command when it is unpickled."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.sprung,)


PICKLES = ("pytorch_model.bin", "pytorch_model.pt", "training_args.bin", "optimizer.pt", "model.pkl", "tf_model.h5")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_pickle_beside_the_weights_is_not_opened(folder: Path, tmp_path: Path, backend: str):
    sprung = tmp_path / "sprung"
    for name in PICKLES:
        (folder / name).write_bytes(pickle.dumps(Trap(sprung)))
    pickle.loads((folder / PICKLES[0]).read_bytes())
    assert sprung.exists(), "the trap works"
    sprung.unlink()
    assert answer(folder, backend) == answer(small_model(), backend)
    assert not sprung.exists()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_a_pickle_instead_of_the_weights_is_refused(folder: Path, tmp_path: Path, backend: str, name: str):
    sprung = tmp_path / "sprung"
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        answer(folder, backend)
    assert not sprung.exists()


CODE = "from pathlib import Path\nPath({sprung!r}).touch()\n" + "class Own:\n    pass\n" * 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_code_that_comes_with_a_model_is_not_run(folder: Path, tmp_path: Path, backend: str):
    """As `auto_map` of transformers asks for: of a known architecture, and of one that only the code has."""
    sprung = tmp_path / "sprung"
    names = {
        "AutoConfig": "code.Own",
        "AutoModelForSequenceClassification": "code.Own",
        "AutoTokenizer": ["code.Own", None],
    }
    for name in ("code.py", "modeling.py", "__init__.py", "sitecustomize.py", "conftest.py"):
        (folder / name).write_text(CODE.format(sprung=str(sprung)))
    for file in ("config.json", "tokenizer_config.json"):
        values = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(values | {"auto_map": names}))
    assert answer(folder, backend) == answer(small_model(), backend)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "own", "architectures": ["Own"]}))
    # The graph says by itself how it is run, so only torch needs to know the architecture.
    if backend == "torch":
        with pytest.raises(ModelError):
            answer(folder, backend)
    else:
        answer(folder, backend)
    assert not sprung.exists()


@pytest.mark.parametrize(
    "asked",
    [
        {"attn_implementation": "someone/kernel"},
        {"_attn_implementation": "flash_attention_2"},
        {"attn_implementation": {"": "someone/kernel"}},
        {"text_config": {"experts_implementation": "someone/kernel"}},
    ],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_config_that_asks_for_compiled_code_is_refused(folder: Path, backend: str, asked: dict[str, object]):
    """transformers fetches it from the hub if the package ``kernels`` is there."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | asked))
    with pytest.raises(ModelError, match="asks for code of others"):
        answer(folder, backend)


def test_an_adapter_is_refused(folder: Path):
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "../other", "peft_type": "LORA"}')
    with pytest.raises(ModelError, match="adapter"):
        answer(folder, "torch")


def test_a_link_to_itself_is_said(folder: Path):
    (folder / "metrics.json").symlink_to("metrics.json")
    with pytest.raises(ModelError, match=r"metrics\.json"):
        answer(folder, "onnx")


def pointing(folder: Path, location: str) -> None:
    """Have the graph read its weights from ``location``."""
    import onnx

    graph = onnx.load(str(folder / "model.onnx"), load_external_data=False)
    entries = [e for tensor in graph.graph.initializer for e in tensor.external_data if e.key == "location"]
    assert entries
    for entry in entries:
        entry.value = location
    (folder / "model.onnx").write_bytes(graph.SerializeToString())


@pytest.mark.parametrize(
    "location",
    ["../outside", "/etc/passwd", "a/../../outside", "/dev/zero", "/proc/self/mem", "{absolute}", "inside/up/outside"],
)
def test_a_graph_that_points_out_of_the_folder_is_refused(folder: Path, location: str):
    outside = folder.parent / "outside"
    shutil.copy(folder / "model.safetensors", outside)
    (folder / "inside").mkdir()
    (folder / "inside/up").symlink_to("../..")
    pointing(folder, location.format(absolute=outside))
    with pytest.raises(ModelError, match=r"model\.onnx"):
        answer(folder, "onnx")


FILES = ("config.json", "tokenizer.json", "model.safetensors", "holders.safetensors", "model.onnx")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("file", FILES)
def test_a_link_that_leaves_the_folder_is_refused(folder: Path, backend: str, file: str):
    if backend == "torch" and file == "model.onnx":
        (folder / file).unlink()  # it is not read
    else:
        outside = (folder / file).rename(folder.parent / f"outside-{file}")
        (folder / file).symlink_to(outside)
        with pytest.raises(ModelError, match="leaves the folder"):
            answer(folder, backend)
        (folder / file).unlink()
        outside.rename(folder / f"inside-{file}")
        (folder / file).symlink_to(f"inside-{file}")
    assert answer(folder, backend) == answer(small_model(), backend), "a link that stays inside is none"


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_cache_of_the_hub_is_all_links(folder: Path, tmp_path: Path, backend: str):
    """``models--who--what/snapshots/REVISION/FILE`` links to ``models--who--what/blobs/HASH``."""
    repository = tmp_path / "hub" / "models--who--what"
    snapshot, blobs = repository / "snapshots" / "0123", repository / "blobs"
    for made in (snapshot, blobs):
        made.mkdir(parents=True)
    for number, file in enumerate(sorted(folder.iterdir())):
        shutil.copy(file, blobs / str(number))
        (snapshot / file.name).symlink_to(Path("../../blobs") / str(number))
    assert answer(snapshot, backend) == answer(small_model(), backend)
    (snapshot / "tokenizer.json").unlink()
    (snapshot / "tokenizer.json").symlink_to(folder / "tokenizer.json")
    with pytest.raises(ModelError, match="leaves the folder"):
        answer(snapshot, backend)


def test_a_linked_folder_is_the_folder(tmp_path: Path):
    (tmp_path / "link").symlink_to(small_model())
    assert answer(tmp_path / "link", "onnx") == answer(small_model(), "onnx")


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def zeroed(data: bytes) -> bytes:
    return bytes(len(data))


def emptied(_: bytes) -> bytes:
    return b""


def page_lost(data: bytes) -> bytes:
    """One page of zeros, as a disk gives that was full or lost power."""
    return (
        data[:4096] + bytes(min(4096, max(0, len(data) - 4096))) + data[8192:] if len(data) > 4096 else bytes(len(data))
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("damage", [truncated, zeroed, emptied])
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_is_named(folder: Path, backend: str, damage, file: str):
    path = folder / file
    if backend == "torch" and file == "model.onnx":
        pytest.skip("not read")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelError, match=file.replace(".", r"\.")):
        answer(folder, backend)


def test_flipped_bits_in_headers_end_in_a_clear_error_or_none(folder: Path):
    """A bit in the first kilobytes of each file; what still loads must still answer or say why not.

    (A bit may change a letter of a label, which is then another label.)
    """
    random_ = random.Random(1)
    for file in FILES:
        path, whole = folder / file, (small_model() / file).read_bytes()
        for _ in range(12):
            changed = bytearray(whole)
            changed[random_.randrange(min(len(whole), 2000))] ^= 1 << random_.randrange(8)
            path.write_bytes(changed)
            try:
                classifier = StanceClassifier.from_pretrained(folder)
                assert classifier.predict("They send troops.").label in classifier.labels
            except StancelibError as error:
                assert str(folder) in str(error)
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", "[" * 100_000),
        ("config.json", '{"id2label": ' + '{"a":' * 100_000),
        ("config.json", {"pad_token_id": "one"}),
        ("config.json", {"pad_token_id": -1}),
        ("config.json", {"pad_token_id": 10**30}),
        ("config.json", {"max_position_embeddings": "many"}),
        ("config.json", {"max_position_embeddings": [512]}),
        ("config.json", {"max_position_embeddings": -5}),
        ("config.json", {"max_position_embeddings": 2}),
        ("config.json", {"max_position_embeddings": float("inf")}),
        ("metrics.json", "[" * 100_000),
        ("tokenizer.json", {"model": {"type": "WordPiece", "vocab": {}, "unk_token": "[UNK]"}}),
        ("tokenizer.json", {"post_processor": None, "added_tokens": []}),
    ],
)
def test_nonsense_in_json_is_said(folder: Path, file: str, content: object):
    path = folder / file
    if isinstance(content, dict):
        content = json.dumps(json.loads(path.read_text()) | content)
    path.write_text(str(content))
    try:
        classifier = StanceClassifier.from_pretrained(folder)
        classifier.predict([TEXT, "xyzzy 🪖"])
        assert classifier.abstention == []
    except ModelError as error:
        assert str(folder) in str(error)
    else:
        assert file == "tokenizer.json", "said nothing"


@pytest.mark.parametrize(
    "header", [b"[" * 100_000, b'{"a":{"data_offsets":[0,"x"]}}', b'{"a":{"data_offsets":[0,1e999]}}', b"{}"]
)
def test_nonsense_in_the_header_of_weights_is_said(folder: Path, header: bytes):
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ModelError, match=r"model\.safetensors is damaged"):
        answer(folder, "onnx")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_folder_that_may_only_be_read_is_enough(folder: Path, backend: str):
    for path in (*folder.iterdir(), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = sorted((path.name, path.stat().st_mtime_ns) for path in folder.iterdir())
    try:
        assert answer(folder, backend) is not None
        assert sorted((path.name, path.stat().st_mtime_ns) for path in folder.iterdir()) == before, "nothing is written"
    finally:
        folder.chmod(0o755)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors", "model.onnx"])
def test_a_file_that_may_not_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch, file: str):
    if os.geteuid() != 0:
        (folder / file).chmod(0)
    else:  # who may read everything
        refuse(monkeypatch, folder / file)
    if file in ("tokenizer.json", "model.onnx") and os.geteuid() == 0:
        pytest.skip("read by native code, which can't be refused to root")
    with pytest.raises(ModelError, match=file.replace(".", r"\.")):
        answer(folder, "onnx")


def refuse(monkeypatch: pytest.MonkeyPatch, refused: Path) -> None:
    opened = Path.open

    def open_(self: Path, *arguments: object, **options: object) -> object:
        if self == refused:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return opened(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", open_)


MEMORY = """
import resource, sys
from stancelib import StanceClassifier, StancelibError, batching
classifier = StanceClassifier.from_pretrained(sys.argv[1], backend=sys.argv[2])
few = ["No troops."] * 3
before = classifier.predict_proba(few).tolist()
# What is kept small to save memory is made large, so that the batch takes more than half a gigabyte.
batching.MAX_TOKENS_IN_BATCH, batching.MAX_SENTENCES_IN_BATCH = 10**9, 10**6
texts = [f"{number} soldiers should not be sent to that war. " * 40 for number in range(1000)]
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
limits = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000, limits[1]))
try:
    classifier.predict(texts)
    said = "nothing"
except StancelibError as error:
    said = str(error)
resource.setrlimit(resource.RLIMIT_AS, limits)
assert classifier.predict_proba(few).tolist() == before, "it goes on afterwards"
print(said)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's limits of memory")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_batch_without_memory_is_said_and_the_next_one_works(backend: str):
    ran = python("-c", MEMORY, str(small_model()), backend)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("out of memory on a batch of 1,000 sentences of 2"), ran.stdout
