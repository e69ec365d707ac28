# `make run` shows what stancelib does, `make test` passes its tests; both set up .venv first. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARTICLE ?= seeds/texts/red-lines.txt
# Other people's sentences, see training/README.md: to measure on, and to learn from with the labels that are here.
REAL ?=
UNLABELLED ?=

# What the core does without torch: texts, files and models in, predictions, documents and tables out. The small model that
# they ask is made with torch by the other environment.
CORE := $(addprefix tests/test_,tables.py sheets.py sentences.py batching.py names.py merging.py document.py html.py \
	corpus_tables.py holders.py checkpoint.py cli.py robust_files.py robust_models.py)
define core_tests
	rm -rf $(1) runs/small && mkdir -p runs
	$(PYTHON) -m venv $(1)
	$(1)/bin/pip install -q --disable-pip-version-check $(2) -e ".[parquet,frames,excel]" pytest hypothesis onnx
	$(1)/bin/pip check
	PYTHONPATH=tests $(BIN)/python -c 'from pathlib import Path; import small_model as s; s.write_small_model(Path("runs/small"))'
	STANCELIB_SMALL_MODEL=$(CURDIR)/runs/small $(1)/bin/python -m pytest -p no:cacheprovider -k "not torch and not adapter" $(CORE)
endef

.DEFAULT_GOAL := help
.PHONY: help run test lint model evaluate engines oldest newest fuzz audit wheel clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(VENV)/.run ## who holds what in a sample article; writes article.html
	@$(BIN)/stancelib analyze $(ARTICLE) --html article.html --overwrite

test: $(VENV)/.dev ## style, types and all tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

lint: $(VENV)/.dev ## mend style, check types
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

model: $(VENV)/.dev ## train the shipped model anew (hours; goes on where it was stopped)
	$(BIN)/python -m training.corpus check
	$(BIN)/python -m training.teacher --base mpnet --output runs/teacher --epochs 3 --evaluations 3 --seed 6 --smoothing 0 \
		$(if $(UNLABELLED),--unlabelled $(UNLABELLED))
	$(BIN)/python -m training.average v0.2 runs/teacher --shares 0.3 0.7 --output runs/average
	$(BIN)/python -m training.export runs/average --output models/base --words 15400 $(if $(UNLABELLED),--unlabelled $(UNLABELLED))
	$(BIN)/python -m training.fit_holders models/base
	$(MAKE) evaluate

evaluate: $(VENV)/.dev ## measure the shipped model and write the figures
	$(BIN)/python -m training.evaluate models/base $(if $(REAL),--real $(REAL)) --readme README.md

oldest: $(VENV)/.dev ## the core with the oldest dependencies that pyproject.toml admits
	$(call core_tests,.venv-oldest,-c constraints-oldest.txt)

newest: $(VENV)/.dev ## the core with the newest dependencies; PYTHON=python3.13 for another Python
	$(call core_tests,.venv-newest,)

fuzz: $(VENV)/.dev ## coverage-guided fuzzing, SECONDS=600 for each of five targets; see docs/robustness.md
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt "atheris>=3"
	$(BIN)/python -m benchmarks.fuzz all --seconds $(or $(SECONDS),600)

audit: $(VENV)/.dev ## versions and licences of all dependencies, and whether they fit together
	$(BIN)/pip check
	$(BIN)/python -m benchmarks.dependencies

engines: $(VENV)/.dev ## install Ray and Spark (500 MB to fetch; Spark needs Java 17) and test with them
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e ".[ray,spark]"
	$(BIN)/pytest tests/test_engines.py

wheel: $(VENV)/.dev ## build the wheel into dist/
	$(BIN)/pip wheel -q --no-deps -w dist .

clean: ## remove the environment and what was built
	rm -rf $(VENV) .venv-oldest .venv-newest dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check --upgrade pip

# The base install, as a user gets it; in place, so that models/ is not copied.
$(VENV)/.run: pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@ $(VENV)/.run
