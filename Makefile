# make demo   everything at once, embedded          make test   everything that proves it
# make lock   renew the pinned versions             make bench  how fast, beside others: bench/README.md
# make clean  remove the environments
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: demo test lint format lock pictures wheel bench bench-tools clean
demo: .venv/.run
	@$(BIN)/mailer demo $(ARGS)

test: .venv/.test
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal $(ARGS)

lint: .venv/.test
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: .venv/.test
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

pictures: .venv/.test
	@$(BIN)/python docs/pictures/take.py pictures

bench: .venv/.test bench-tools
	@$(BIN)/python bench/send.py $(ARGS)
	@$(BIN)/python bench/kill.py
	@$(BIN)/python bench/memory.py

# What is compared with: none of it is needed otherwise, and what cannot be installed is skipped, with the reason.
bench-tools: .bench/node_modules .bench/mailman
.bench/node_modules: bench/package.json bench/package-lock.json
	@mkdir -p .bench && cp $^ .bench/
	@npm ci --prefix .bench --silent --no-audit --no-fund && touch $@ || echo "nodemailer is not installed: npm ci failed"
.bench/mailman: bench/mailman.txt | .venv/bin/python
	@mkdir -p .bench && $(BIN)/python -m venv $@ && $@/bin/pip install -q --disable-pip-version-check -r $< \
		&& touch $@ || echo "Mailman is not installed: pip install failed"

wheel: .venv/.test
	@$(BIN)/python -m hatchling build -t wheel

# The lock files are plain requirement lists with hashes, so that pip alone can install them.
lock: .venv/.lock
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --extra checkout pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --extra checkout --extra test -c requirements.lock pyproject.toml -o requirements-test.lock

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "mailer needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv .venv

.venv/.run: requirements.lock pyproject.toml | .venv/bin/python
	@echo "Installing mailer into .venv ..."
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

.venv/.test: requirements-test.lock .venv/.run
	@echo "Installing the test tools into .venv ..."
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-test.lock
	@touch $@

.venv/.lock: | .venv/bin/python
	@$(BIN)/pip install -q --disable-pip-version-check uv
	@touch $@

clean:
	@rm -rf .venv .bench dist .mypy_cache .ruff_cache .hypothesis
