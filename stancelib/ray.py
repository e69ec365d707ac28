"""Ray Data: `Predictor`, a class for ``Dataset.map_batches`` that loads one model a worker.

    ds.map_batches(stancelib.ray.Predictor, batch_format="pyarrow", num_cpus=1, concurrency=8)

Ray makes one `Predictor` for each of its actors and keeps it, so that the weights are read from the disk of the worker
once and never go through the object store. docs/scale.md is the guide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stancelib.classifier import StanceClassifier
from stancelib.errors import InputError, MissingExtraError
from stancelib.results import result_columns, result_names, result_types

if TYPE_CHECKING:
    import pyarrow


class Predictor:
    """Adds the predictions to a batch; Ray makes one for each actor.

    Args (Ray takes them as ``fn_constructor_kwargs``):
        model: None for the shipped default, a shipped model's name, a folder that every machine has, or a hub id.
        text_column: the column that holds the text.
        abstain_below: predictions less confident than this are ``unsure``.
        threads: how many compute a batch; as many as the ``num_cpus`` that each actor is given.
    """

    def __init__(
        self, model: str | None = None, *, text_column: str = "text", abstain_below: float = 0.0, threads: int = 1
    ) -> None:
        self._classifier = StanceClassifier.from_pretrained(model, threads=threads)
        self._text_column, self._abstain_below = text_column, abstain_below

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        """``batch`` and the columns of `stancelib.results.result_types`, which get ``predicted_`` where it has them.

        Raises:
            InputError: the batch is no Arrow table, or has no such column.
        """
        try:
            import pyarrow
        except ImportError:
            raise MissingExtraError("stancelib.ray", "pyarrow", "ray") from None
        if not isinstance(batch, pyarrow.Table):
            raise InputError('Predictor reads Arrow tables; pass batch_format="pyarrow" to map_batches')
        if self._text_column not in batch.column_names:
            raise InputError(f"no column {self._text_column!r}; the dataset has {', '.join(batch.column_names)}")
        types = result_types(self._classifier.labels, self._classifier.checkpoint.has_holders)
        arrow = {str: pyarrow.string(), float: pyarrow.float64(), bool: pyarrow.bool_()}
        found = result_columns(self._classifier, batch[self._text_column].to_pylist(), self._abstain_below)
        for name, own in result_names(batch.column_names, tuple(types)).items():
            batch = batch.append_column(own, pyarrow.array(found[name], arrow[types[name]]))
        return batch
