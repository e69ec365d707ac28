"""Ray, Spark and datasets.map: the answers are those of `predict`, other columns are kept, one model a worker."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import REPOSITORY

from benchmarks.memory import random_model
from stancelib import InputError, StanceClassifier
from stancelib.results import result_types, result_values
from stancelib.texts import problem

TEXTS = ["They must leave.", None, "Send them now.", " ", "Norda will never vote on it.", "=Keep the troops."] * 5


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(random_model(tmp_path_factory.mktemp("random") / "model"))


@pytest.fixture(scope="module")
def expected(model: str) -> list[dict[str, object]]:
    """A row for each of `TEXTS`, as the command line would write it."""
    predictions = StanceClassifier.from_pretrained(model).predict(TEXTS, invalid="skip")
    return [
        {name: result_values(prediction, None if prediction else problem(text)).get(name) for name in result_types()}
        for text, prediction in zip(TEXTS, predictions, strict=True)
    ]


def found(rows: list[dict[str, object]], prefix: str = "") -> list[dict[str, object]]:
    return [{name: row[prefix + name] for name in result_types()} for row in sorted(rows, key=lambda row: row["n"])]


class TestPredictor:
    """The class that Ray calls, without Ray."""

    def test_a_batch_gets_its_columns(self, model: str, expected: list[dict[str, object]]):
        from stancelib.ray import Predictor

        batch = pa.table({"n": range(30), "text": TEXTS, "stance": ["gold"] * 30})
        table = Predictor(model)(batch)
        assert table.select(batch.column_names).equals(batch)
        assert found(table.to_pylist(), "predicted_") == expected
        # The first batch of a dataset may have no usable text; its schema is that of the others all the same.
        assert Predictor(model)(batch.slice(1, 1)).schema == table.schema

    def test_what_it_cannot_read_is_said(self, model: str):
        from stancelib.ray import Predictor

        predictor = Predictor(model, text_column="body")
        with pytest.raises(InputError, match=r'batch_format="pyarrow"'):
            predictor({"body": TEXTS})
        with pytest.raises(InputError, match="no column 'body'; the dataset has n, text"):
            predictor(pa.table({"n": [1], "text": ["They must leave."]}))


def test_ray(model: str, expected: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch):
    ray = pytest.importorskip("ray", reason="make engines")
    data = pytest.importorskip("ray.data")
    from stancelib.ray import Predictor

    class Counted(Predictor):
        """Tells which process answered, and how many models that process has loaded."""

        loaded = 0

        def __init__(self, *arguments: object, **more: object) -> None:
            type(self).loaded += 1
            super().__init__(*arguments, **more)

        def __call__(self, batch: pa.Table) -> pa.Table:
            worker = pa.array([f"{os.getpid()} {self.loaded}"] * len(batch))
            return super().__call__(batch).append_column("worker", worker)

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", f"{REPOSITORY}:{REPOSITORY / 'tests'}:{os.environ.get('PYTHONPATH', '')}")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000)
    try:
        source = data.from_arrow([pa.table({"n": range(s, s + 5), "text": TEXTS[s : s + 5]}) for s in range(0, 30, 5)])
        done = source.map_batches(
            Counted, fn_constructor_args=(model,), batch_format="pyarrow", batch_size=5, num_cpus=1, concurrency=1
        )
        rows = done.take_all()
    finally:
        ray.shutdown()
    assert found(rows) == expected
    assert [row["text"] for row in sorted(rows, key=lambda row: row["n"])] == TEXTS
    # Six batches, one model.
    assert len({row["worker"] for row in rows}) == 1
    assert rows[0]["worker"].endswith(" 1")


@pytest.fixture
def spark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)  # else the first python3 on the path
    sql = pytest.importorskip("pyspark.sql", reason="make engines")
    builder = sql.SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
    builder = builder.config("spark.sql.warehouse.dir", str(tmp_path)).config("spark.driver.memory", "512m")
    session = builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", "4").getOrCreate()
    yield session
    session.stop()


def test_spark(model: str, expected: list[dict[str, object]], spark):
    from pyspark.sql.functions import pandas_udf

    from stancelib.spark import stance_udf

    frame = spark.createDataFrame(list(enumerate(TEXTS)), "n int, text string").repartition(3)
    told = frame.withColumn("found", stance_udf(model)("text")).select("*", "found.*")
    rows = [row.asDict() for row in told.collect()]
    assert found(rows) == expected
    assert {row["n"]: row["text"] for row in rows} == dict(enumerate(TEXTS))

    @pandas_udf("long")
    def loaded(numbers):
        import stancelib.spark

        return numbers * 0 + stancelib.spark._classifier.cache_info().misses

    # Three tasks in the same worker, one model.
    assert {row[0] for row in frame.select(loaded("n")).collect()} == {1}


@pytest.mark.parametrize("processes", [None, 2])
def test_datasets_map(model: str, expected: list[dict[str, object]], processes: int | None, tmp_path: Path):
    """The recipe of docs/scale.md, in this process and in two."""
    datasets = pytest.importorskip("datasets")
    from stancelib.results import result_columns

    classifier = StanceClassifier.from_pretrained(model, threads=1)
    source = datasets.Dataset.from_dict({"n": range(30), "text": TEXTS})
    source.save_to_disk(tmp_path / "source")
    source = datasets.load_from_disk(tmp_path / "source")
    done = source.map(lambda batch: result_columns(classifier, batch["text"]), batched=True, num_proc=processes)
    rows = done.to_list()
    assert found(rows) == expected
    assert [row["text"] for row in rows] == TEXTS
