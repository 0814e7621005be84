.DEFAULT_GOAL := help
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin

.PHONY: help setup demo test fuzz lint format audit bench browser

help: ## what there is to make
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: .venv/.complete ## a virtual environment in .venv with all that is needed; does nothing when nothing changed

.venv/.complete: pyproject.toml constraints.txt peers.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Closer needs Python 3.11 or later: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r peers.txt
	@touch $@

# CompressAI wants other versions than we do, so it has an environment of its own.
.venv-compressai/.complete: docs/compressai/requirements.txt
	@test -x .venv-compressai/bin/python || $(PYTHON) -m venv .venv-compressai
	.venv-compressai/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	.venv-compressai/bin/python -m pip install --quiet --disable-pip-version-check --no-deps compressai==1.2.8
	@touch $@

demo: setup ## a running study on real photographs (IMAGES=folder, PORT=8000, FRESH=1)
	@exec $(BIN)/python -m config.stack --port $(PORT) \
		$(if $(IMAGES),--images '$(IMAGES)') $(if $(FRESH),--fresh)

test: setup browser .venv-compressai/.complete ## every test, on real servers, workers and a real browser
	$(BIN)/python -m pytest -n 2 --dist loadgroup

fuzz: setup browser .venv-compressai/.complete ## the same tests with examples that nobody has seen
	CLOSER_HYPOTHESIS=fuzz $(BIN)/python -m pytest -n 2 --dist loadgroup

lint: setup ## format, lint, types, import contracts, missing migrations, the Dockerfile
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -W ignore manage.py makemigrations --check --dry-run
	$(BIN)/hadolint Dockerfile

format: setup ## put the code into its standard form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# In an environment of its own, since it is none of ours. It asks pypi.org for known weaknesses.
audit: ## known weaknesses of the libraries that constraints.txt pins
	@test -x .venv-audit/bin/pip-audit || { $(PYTHON) -m venv .venv-audit && \
		.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1; }
	.venv-audit/bin/pip-audit --no-deps --disable-pip -r constraints.txt

bench: setup ## benchmarks, each beside a peer in the same run; all that was measured in bench.json
	$(BIN)/python -m benchmarks --out bench.json

browser: setup
	@$(BIN)/python -m tests.e2e.browser
