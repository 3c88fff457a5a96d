# Two commands: `make run` serves the app on http://localhost:8501, `make test` passes every test. Each sets up what it needs.
SHELL := /bin/sh
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint .constraints.txt

.PHONY: run test check audit lock clean
.DEFAULT_GOAL := run

run: .venv/.run-ready
	$(BIN)/streamlit run app.py

test: check
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(PYTEST)

check: .venv/.test-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

audit: .venv/.test-ready  # known vulnerabilities in the lock's versions
	$(BIN)/python .ci/audit.py

lock:  # newest versions that pyproject.toml allows; run the tests before you commit them
	rm -rf .venv && $(MAKE) .venv/.made
	$(BIN)/python -m pip install --quiet -e '.[dev,postgres]' 'torch==2.13.0'
	{ sed -n '/^#/p' .constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' | grep -v '^nvidia-\|^triton'; } > .constraints.new
	mv .constraints.new .constraints.txt

clean:
	rm -rf .venv

.venv/.made:  # not .venv/bin/python, which is there before pip is
	@rm -rf .venv
	@test -n "$(PYTHON)" || { echo "blindstrip needs Python 3.11 or newer with its venv module (Debian: apt-get install python3-venv)."; exit 2; }
	@$(PYTHON) -m venv .venv && $(BIN)/python -m pip --version >/dev/null || { rm -rf .venv; echo "The virtual environment could not be made."; exit 2; }
	@touch $@

.venv/.run-ready: pyproject.toml .constraints.txt | .venv/.made
	@echo "Setting up .venv (a few minutes the first time) ..."
	$(INSTALL) -e .
	@touch $@

.venv/.test-ready: pyproject.toml .constraints.txt | .venv/.made
	@echo "Setting up .venv for the tests (a few minutes the first time) ..."
	$(INSTALL) -e '.[dev,postgres]'
	@touch $@ .venv/.run-ready
