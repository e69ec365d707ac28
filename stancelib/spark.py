"""Spark: `stance_udf`, a pandas UDF that loads one model a Python worker.

    df.withColumn("found", stancelib.spark.stance_udf()("text")).select("*", "found.*")

What Spark sends to the workers is the model's name, and a worker keeps the model from one task to the next.
docs/scale.md is the guide.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from stancelib.checkpoint import Checkpoint
from stancelib.classifier import StanceClassifier
from stancelib.errors import MissingExtraError
from stancelib.results import result_columns, result_types

if TYPE_CHECKING:
    import pandas

_SQL = {str: "string", float: "double", bool: "boolean"}


@functools.lru_cache(maxsize=1)  # a Python worker has one, whatever the number of tasks that it gets
def _classifier(model: str | None, threads: int) -> StanceClassifier:
    return StanceClassifier.from_pretrained(model, threads=threads)


def stance_udf(model: str | None = None, *, abstain_below: float = 0.0, threads: int = 1) -> Any:
    """A pandas UDF from a column of texts to structs with the fields of `stancelib.results.result_types`.

    Args:
        model: None for the shipped default, a shipped model's name, a folder that every machine has, or a hub id.
        abstain_below: predictions less confident than this are ``unsure``.
        threads: how many compute a batch; as many as ``spark.task.cpus``.

    Raises:
        MissingExtraError: without pyspark and pandas.
        ModelError: the driver has no such model; its labels are needed for the names of the fields.
    """
    try:
        import pandas
        from pyspark.sql.functions import pandas_udf
    except ImportError as error:
        raise MissingExtraError("stancelib.spark", error.name or "pyspark", "spark") from None
    checkpoint = Checkpoint.open(model)
    types = result_types(checkpoint.labels, checkpoint.has_holders)

    def predict(batches: Iterator[pandas.Series[str]]) -> Iterator[pandas.DataFrame]:
        classifier = _classifier(model, threads)
        for texts in batches:
            found = result_columns(
                classifier, (text if isinstance(text, str) else None for text in texts), abstain_below
            )
            yield pandas.DataFrame({name: pandas.Series(found[name], dtype=object) for name in types})

    # With annotations that are text (PEP 563) Spark can't tell that batches come as an iterator.
    predict.__annotations__ = {"batches": Iterator[pandas.Series], "return": Iterator[pandas.DataFrame]}
    return pandas_udf(predict, ", ".join(f"`{name}` {_SQL[kind]}" for name, kind in types.items()))
