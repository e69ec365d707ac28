# `make run` shows what stancelib does, `make test` passes its tests; both set up .venv first. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARTICLE ?= seeds/texts/red-lines.txt
# Other people's sentences, see training/README.md: to measure on, and to learn from with the labels that are here.
REAL ?=
UNLABELLED ?=

.DEFAULT_GOAL := help
.PHONY: help run test lint model evaluate wheel clean

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
	$(BIN)/python -m training.teacher --base v0.1 --output runs/teacher --since part30 --replay 3500 --frozen-layers 6 \
		--epochs 1 --evaluations 1 --seed 4 $(if $(UNLABELLED),--unlabelled $(UNLABELLED))
	$(BIN)/python -m training.export runs/teacher --output models/base $(if $(UNLABELLED),--unlabelled $(UNLABELLED))
	$(BIN)/python -m training.fit_holders models/base
	$(MAKE) evaluate

evaluate: $(VENV)/.dev ## measure the shipped model and write the figures
	$(BIN)/python -m training.evaluate models/base $(if $(REAL),--real $(REAL)) --readme README.md

wheel: $(VENV)/.dev ## build the wheel into dist/
	$(BIN)/pip wheel -q --no-deps -w dist .

clean: ## remove the environment and what was built
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis

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
