# Variables: PORT, HOST, DATA_DIR and LIBRARY for 'run'; ARGS for 'bench', 'test' and 'fuzz'.
.DEFAULT_GOAL := help
.PHONY: help run test lint bench fuzz long clean

XOE := .venv/bin/xoe
# Where a shell forbids it, each of some hundred processes would compile every module anew.
export PYTHONDONTWRITEBYTECODE :=

help:
	@echo "make run     install what is missing, then serve the page (PORT=8000 DATA_DIR=data)"
	@echo "make test    lint, then all tests (ARGS='tests/unit -k word': some, and no lint)"
	@echo "make lint    ruff and mypy"
	@echo "make bench   measure against the baselines (ARGS='llm --json' for one)"
	@echo "make fuzz    random inputs, ten minutes for each part (ARGS=60: a minute)"
	@echo "make long    the tests of faults in full, an hour and more (ARGS=FILE for one)"
	@echo "make clean   remove what was built; documents, data and models stay"

run:
	@scripts/sync
	@exec $(XOE) serve $(if $(HOST),--host '$(HOST)') $(if $(PORT),--port '$(PORT)') \
		$(if $(DATA_DIR),--data-dir '$(DATA_DIR)') $(if $(LIBRARY),--library '$(LIBRARY)')

test:
	@scripts/sync test
	@$(if $(ARGS),,$(MAKE) --no-print-directory check)
	@$(XOE) models pull --prove fast tiny embedder stt stt-light tts
	@scripts/chromium
	@scripts/sshd
	@exec .venv/bin/python -m pytest $(or $(ARGS),-n 2 --reruns 1)

lint:
	@scripts/sync lint bench
	@$(MAKE) --no-print-directory check

.PHONY: check
check:
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

bench:
	@scripts/sync bench
	@$(XOE) models pull --prove fast embedder
	@exec $(XOE) bench $(or $(ARGS),all)

fuzz:
	@scripts/sync test
	@XOE_FUZZ_S=$(or $(ARGS),600) .venv/bin/python -m pytest -s tests/faults/test_fuzz.py

long:
	@scripts/sync test
	@FAULT_MATRIX=docs/faults.md LONG_TESTS=1 .venv/bin/python -m pytest -s \
		$(or $(ARGS),tests/faults tests/integration/test_server.py \
		tests/integration/test_breaker_stores.py)

clean:
	rm -rf .venv .tools .files .hypothesis .mypy_cache .pytest_cache .ruff_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "Kept: library, data and models."
