"""What to code next: `suggest` chooses texts, `Suggestions.write` makes a sheet of them, `read_sheet` reads it back."""

from __future__ import annotations

import difflib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stancelib.classifier import WINDOW, StanceClassifier, default_classifier
from stancelib.data import WORKBOOKS, LabelledData, LeftOut, read_labelled
from stancelib.errors import FileError, InputError, MissingExtraError
from stancelib.sheets import Sheet, check_target, unguarded
from stancelib.tables import format_of
from stancelib.texts import problem, windows

# A model has to read all that it chooses from, so of more texts than this, as many are drawn at random.
POOL = 20_000
_UNSURE = 10  # times as many as are chosen, as Zhdanov has it
_DIRECTIONS = 100
_READ_AT_ONCE = 128  # texts, some seconds
_EXCEL_CELL = 32_767  # characters, by Microsoft's specification


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A text to code: its index among the texts, the model's label for it and how probable the model takes that."""

    index: int
    text: str
    guess: str
    confidence: float


@dataclass(frozen=True)
class Suggestions:
    """What `suggest` chose, what the model is least sure of first.

    Attributes:
        chosen: the suggestions; iterating and `len` go over them.
        labels: those of the model, for the sheet.
        considered: of how many texts they were chosen.
        left_out: why others were not considered -> how many.
    """

    chosen: tuple[Suggestion, ...]
    labels: tuple[str, ...]
    considered: int
    left_out: dict[str, int]

    def __iter__(self) -> Iterator[Suggestion]:
        return iter(self.chosen)

    def __len__(self) -> int:
        return len(self.chosen)

    def __str__(self) -> str:
        parts = [f"{count:,} {reason}" for reason, count in self.left_out.items() if count]
        return f"{len(self):,} chosen of {self.considered:,} texts" + (f" ({', '.join(parts)})" if parts else "")

    def write(
        self,
        path: str | os.PathLike[str],
        *,
        labels: Sequence[str] | None = None,
        ids: Sequence[Any] | None = None,
        show_guess: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Write a sheet to fill in: ``id``, ``text``, an empty ``label``, and what to do.

        The model's guess is not on it, since coders who see one follow it (Schroeder, Roy & Kabbara 2025, "Just put a
        human in the loop?", https://arxiv.org/abs/2507.15821).

        Args:
            path: .csv, .tsv, or .xlsx, where labels are chosen from a list and a sheet of its own tells what to do.
            labels: what to choose from, in this order; by default those of the model.
            ids: of all texts that were passed to `suggest`, in their order; by default their indices.
            show_guess: write the model's guess beside the label all the same.
            overwrite: replace the file if it exists.

        Raises:
            FileError: the file exists, or can't be written, or is of another kind.
            MissingExtraError: a workbook without openpyxl.
        """
        path = Path(path)
        columns = ["id", "text", "label", *(["guess"] if show_guess else [])]
        rows = [
            {"id": item.index if ids is None else ids[item.index], "text": item.text, "label": "", "guess": item.guess}
            for item in self.chosen
        ]
        choices = tuple(labels or self.labels)
        kind = check_sheet(path, overwrite)
        if kind == "xlsx":
            _write_workbook(path, columns, rows, choices)
            return
        with Sheet(path, kind, [*columns, "instructions"], {}, overwrite) as sheet:
            for number, row in enumerate(rows):
                sheet.write(row | {"instructions": " ".join(_instructions(choices)) if number == 0 else ""})


def suggest(
    texts: Iterable[Any],
    n: int,
    *,
    model: Any = None,
    coded: Iterable[str] | None = None,
    seed: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Suggestions:
    """Choose ``n`` texts whose labels would teach a model most: such as it is unsure of, and unlike each other.

    After Zhdanov 2019 ("Diverse mini-batch active learning", https://arxiv.org/abs/1901.05954): of all texts, the ten
    times ``n`` whose two most probable labels lie closest; these in ``n`` clusters, by k-means, where doubtful texts
    weigh more; and of each cluster, the one that the model is least sure of. Clusters are of vectors of latent semantic
    analysis (Deerwester et al. 1990), which cost next to nothing and suit any model.

    Near-duplicates (`stancelib.duplicates.near_duplicates`) of each other and of coded texts are never chosen. Of more
    than 20,000 texts, so many are drawn at random first. What is chosen is no random sample: shares are not to be
    estimated from it, nor models measured on it.

    Args:
        texts: what can be coded; missing and blank texts are passed over.
        n: how many to choose; fewer if there are not so many.
        model: whose doubts count: None for the shipped model; a name, folder or hub id; or any object with
            ``predict_proba(texts)`` and ``classes_`` or ``labels``, such as a fitted `StanceEstimator`. With a codebook
            of your own, train one on what is coded as soon as there is something.
        coded: texts that are coded already.
        seed: of the draws.
        progress: called as the model goes on, with how many texts it has read, and of how many.

    Raises:
        InputError: ``n`` is below 1, or none of the texts can be chosen.
        ModelError: there is no such model.
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        import sklearn  # noqa: F401  # before a model has read for an hour

        from stancelib.duplicates import near_duplicates, normalised
    except ImportError as error:
        raise MissingExtraError("suggest", error.name or "scikit-learn", "eval") from None
    if n < 1:
        raise InputError(f"n must be at least 1, not {n}")
    everything = [text for window in windows(texts, WINDOW) for text in window]
    usable = [index for index, text in enumerate(everything) if problem(text) is None]
    known = list(coded or ())
    known_keys = set(map(normalised, known))
    rng = np.random.default_rng(seed)
    new: dict[str, int] = {}
    coded_count = 0
    for index in usable:
        key = normalised(everything[index])
        if key in known_keys:
            coded_count += 1
        else:
            new.setdefault(key, index)
    pool = list(new.values())
    repeated = len(usable) - coded_count - len(pool)
    drawn = sorted(rng.choice(len(pool), POOL, replace=False)) if len(pool) > POOL else range(len(pool))
    undrawn = len(pool) - len(drawn)
    pool = [pool[index] for index in drawn]
    as_coded = {row for row, _, _ in near_duplicates([everything[index] for index in pool], known)} if known else set()
    pool = [index for row, index in enumerate(pool) if row not in as_coded]
    again = {row for row, _, _ in near_duplicates([everything[index] for index in pool])}
    pool = [index for row, index in enumerate(pool) if row not in again]
    left_out = {
        "unusable": len(everything) - len(usable),
        "coded already": coded_count + len(as_coded),
        "near-duplicates": repeated + len(again),
        "not drawn": undrawn,
    }
    if not pool:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items() if count)
        raise InputError(f"no text to choose from: {reasons or 'none was given'}")
    candidates = [everything[index] for index in pool]
    classifier = _opened(model)
    labels = tuple(str(label) for label in getattr(classifier, "classes_", getattr(classifier, "labels", ())))
    if len(labels) < 2:
        raise InputError("the model does not say which labels it knows, two at least: it needs classes_ or labels")
    probabilities = _probabilities(classifier, candidates, len(labels), progress)
    vectors = _semantic_vectors(candidates, seed)
    chosen = _unsure_and_diverse(probabilities, vectors, min(n, len(candidates)), seed)
    return Suggestions(
        tuple(
            Suggestion(
                pool[row],
                candidates[row],
                labels[int(probabilities[row].argmax())],
                float(probabilities[row].max()),
            )
            for row in chosen
        ),
        labels,
        len(candidates),
        left_out,
    )


def _opened(model: Any) -> Any:
    if model is None:
        return default_classifier()
    if isinstance(model, (str, os.PathLike)):
        return StanceClassifier.from_pretrained(model)
    return model


def _probabilities(
    classifier: Any, texts: list[str], labels: int, progress: Callable[[int, int], None] | None
) -> NDArray[np.float64]:
    """Shape (n texts, n labels)."""
    parts = []
    for start in range(0, len(texts), _READ_AT_ONCE):
        part = texts[start : start + _READ_AT_ONCE]
        found = np.asarray(classifier.predict_proba(part), dtype=np.float64)
        if found.shape != (len(part), labels):
            raise InputError(
                f"the model gives probabilities of shape {found.shape} for {len(part)} texts and {labels} labels"
            )
        parts.append(found)
        if progress is not None:
            progress(start + len(part), len(texts))
    return np.concatenate(parts)


def _semantic_vectors(texts: list[str], seed: int) -> NDArray[np.float64]:
    """The texts in the main directions of their TF-IDF, of length 1 each; shape (n texts, at most 100)."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    # Words of one letter and signs count too: a text may have no others.
    weighted = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\w+|[^\w\s]").fit_transform(texts)
    size = min(_DIRECTIONS, *weighted.shape)
    # Of so few texts, or words, there are no directions to leave out.
    reduced = (
        weighted.toarray() if size < _DIRECTIONS else TruncatedSVD(size, random_state=seed).fit_transform(weighted)
    )
    vectors: NDArray[np.float64] = normalize(reduced)
    return vectors


def _unsure_and_diverse(
    probabilities: NDArray[np.float64], vectors: NDArray[np.float64], n: int, seed: int
) -> list[int]:
    """Rows, the least sure first: of the least sure ones, the least sure of each of ``n`` clusters."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    second, first = np.sort(probabilities, axis=1)[:, -2:].T
    margins = first - second
    # Drawn at random among equals, of which a model that is certain has many.
    order = np.random.default_rng(seed).permutation(len(margins))
    order = order[np.argsort(margins[order], kind="stable")]
    unsure = order[: _UNSURE * n]
    doubts = np.maximum(1 - margins[unsure], 1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer vectors that differ than clusters
        clusters = KMeans(n, n_init=1, max_iter=50, random_state=seed).fit_predict(
            vectors[unsure], sample_weight=doubts
        )
    chosen = unsure[np.unique(clusters, return_index=True)[1]]
    more = unsure[~np.isin(unsure, chosen)][: n - len(chosen)]
    rank = np.argsort(order)
    return [int(row) for row in sorted([*chosen, *more], key=lambda row: rank[row])]


def read_sheet(path: str | os.PathLike[str], labels: Sequence[str] | None = None) -> LabelledData:
    """Read a sheet that was filled in.

    Args:
        path: what `Suggestions.write` wrote, with labels in it.
        labels: the labels that may stand there (in small or capital letters alike); by default any.

    Returns:
        The rows that have a label; the others are among its ``left_out``, each with its place and what is wrong.

    Raises:
        FileError: the file can't be read, or no row of it has a label that can be used.
        MissingExtraError: a workbook without openpyxl.
    """
    read = read_labelled(Path(path), text_column="text", label_column="label")
    # A spreadsheet may be saved as CSV, but never the other way round.
    texts = read.texts if Path(path).suffix.lower() in WORKBOOKS else [unguarded(text) for text in read.texts]
    allowed = None if labels is None else {label.casefold(): label for label in labels}
    result = LabelledData(read.name, [], [], None, [], [], list(read.left_out))
    for text, label, place, cells in zip(texts, read.labels, read.places, read.cells, strict=True):
        found = label if allowed is None else allowed.get(label.casefold())
        if found is None:
            close = difflib.get_close_matches(label.casefold(), list(allowed or ()), 1)
            hint = f"; did you mean {(allowed or {})[close[0]]!r}?" if close else ""
            reason = f"its label {label!r} is none of {', '.join(labels or ())}{hint}"
            result.left_out.append(LeftOut(place, reason, cells))
            continue
        result.texts.append(text)
        result.labels.append(found)
        result.places.append(place)
        result.cells.append(cells)
    if not len(result):
        first = "; ".join(f"{row.place}: {row.reason}" for row in result.left_out[:3])
        raise FileError(f"{path}: no row has a label that can be used ({first})")
    return result


def check_sheet(path: Path, overwrite: bool) -> Any:
    """The kind of sheet that ``path`` ends in: ``"csv"``, ``"tsv"`` or ``"xlsx"``.

    Raises:
        FileError: it ends in something else, or exists and may not be replaced.
    """
    kind = "xlsx" if path.suffix.lower() == ".xlsx" else format_of(path)
    if kind not in ("csv", "tsv", "xlsx"):
        raise FileError(f"{path}: a sheet to fill in is a .csv, .tsv or .xlsx file")
    check_target(path, overwrite)
    return kind


def _instructions(labels: Sequence[str]) -> list[str]:
    return [
        f"Write one of these into the column label: {', '.join(labels)}.",
        "Read each text alone, and go by your codebook.",
        "Leave the label blank where you can't tell; such rows are left out.",
        "Do not change the texts or the ids.",
        "These texts were picked because they are hard or unlike each other: do not estimate shares from them.",
    ]


def _write_workbook(path: Path, columns: list[str], rows: list[dict[str, Any]], labels: Sequence[str]) -> None:
    try:
        import openpyxl
        from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
        from openpyxl.styles import Alignment, Font
        from openpyxl.utils import get_column_letter
        from openpyxl.worksheet.datavalidation import DataValidation
    except ImportError:
        raise MissingExtraError(f"{path}: Excel", "openpyxl", "excel") from None
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "texts"
    sheet.append(columns)
    for cell in sheet[1]:
        cell.font = Font(bold=True)
    sheet.freeze_panes = "A2"
    for number, row in enumerate(rows, 2):
        for column, name in enumerate(columns, 1):
            value = row[name]
            cell = sheet.cell(number, column)
            cell.value = ILLEGAL_CHARACTERS_RE.sub(" ", value)[:_EXCEL_CELL] if isinstance(value, str) else value
            if isinstance(value, str) and value:
                cell.data_type = "s"  # never a formula
            cell.alignment = Alignment(wrap_text=True, vertical="top")
    for name, width in (("id", 12), ("text", 100), ("label", 16)):
        sheet.column_dimensions[get_column_letter(columns.index(name) + 1)].width = width
    help_sheet = book.create_sheet("instructions")
    for line in _instructions(labels):
        help_sheet.append([line])
    for number, label in enumerate(labels, 1):
        cell = help_sheet.cell(number, 3)
        cell.value, cell.data_type = label, "s"
    help_sheet.column_dimensions["A"].width = 100
    # The list lies in cells, since one within the rule may have 255 characters and no commas.
    choice = DataValidation("list", formula1=f"instructions!$C$1:$C${len(labels)}", allow_blank=True)
    choice.error = "Choose one of the labels, or leave the cell blank."
    sheet.add_data_validation(choice)
    letter = get_column_letter(columns.index("label") + 1)
    choice.add(f"{letter}2:{letter}{len(rows) + 1}")
    part = path.with_name(path.name + ".part")
    try:
        book.save(part)
        part.replace(path)
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror or error}") from None
