# `make help` lists the targets. All set-up is done here: Python >= 3.11 and make are all that is needed for demo and test.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
BENCH_READY := .venv/.ready-bench
WORKERS ?= 2
QUICK := not slow and not thorough and not chaos and not redis and not differential
# 1 where `make test` went before in the same folder (CI): then `make check` runs the other tests only.
SPLIT ?=
# Scenarios of `make differential`.
N ?= 2000
# What decides and does no I/O is covered to the last branch.
SANS_IO := rexchange/applying/*,rexchange/changes.py,rexchange/checks.py,rexchange/protocol/*,rexchange/scripts.py,rexchange/ledger.py,rexchange/errors/*,rexchange/topology.py,rexchange/records.py,rexchange/traits.py,rexchange/policies.py,rexchange/definitions/*,rexchange/arguments.py,rexchange/message.py,rexchange/codec.py,rexchange/keyspace.py,rexchange/settings.py,rexchange/hooks.py,rexchange/special.py,rexchange/receipt.py,rexchange/blocked.py,rexchange/confirms.py,rexchange/retries.py
CHECKS := check-format check-lint check-mypy check-pyright check-floors check-unasync check-luacheck check-stylua check-tests check-coverage check-bench check-wheel

.DEFAULT_GOAL := help
.PHONY: help demo test check differential bench bench-quick bench-budgets bench-growth bench-peers gen format clean $(CHECKS)

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml
	@echo "== set-up: .venv with rexchange and its development tools (once; about a minute)"
	@$(PYTHON) -c 'import sys; sys.exit("rexchange needs Python 3.11 or newer; PYTHON=python3.x make ... names another" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[embedded,testing,dev]'
	@touch $@

$(BENCH_READY): $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

demo: $(READY) ## a broker, a queue, a dead consumer: what rexchange does, with no server to install
	@$(BIN)/rexchange demo

test: $(READY) ## the quick tests, on an embedded Valkey and on fakeredis (two to three minutes)
	@echo "== quick tests (make check runs them all)"
	@$(if $(SPLIT),$(BIN)/coverage erase,true)
	@$(BIN)/$(if $(SPLIT),coverage run,python) -m pytest -q -n $(WORKERS) -m "$(QUICK)"

check: $(CHECKS) ## everything CI looks at, once: format, lint, types, floors, Lua, all tests, coverage, the wheel
	@echo "== all checks passed"

differential: $(READY) ## N random scenarios on RabbitMQ (which must run here) and on rexchange: N=2000
	@$(BIN)/python -m tests.differential $(N)

bench: $(BENCH_READY) ## all benchmarks, plots, docs/performance.md (about 15 minutes)
	@$(MAKE) --no-print-directory bench-budgets
	@$(MAKE) --no-print-directory bench-growth
	@$(MAKE) --no-print-directory bench-peers
	@$(BIN)/python -m tests.bench.plots
	@$(BIN)/python -m tests.bench.report

bench-budgets: $(READY) ## each budget of the design: its ratio, pass or short (under 5 minutes)
	@$(BIN)/python -m tests.bench.budgets --json bench-results.json

bench-growth: $(READY) ## what a message costs as bindings, depth, consumers, bodies grow (about 5 minutes)
	@$(BIN)/python -m tests.bench.growth --json bench-results.json

bench-peers: $(READY) ## every library that one might take instead, in turns (about 5 minutes)
	@$(BIN)/python -m tests.bench.peers --json bench-results.json

bench-quick: $(READY) ## the benchmarks in small, to see that they work (two minutes); no document changes
	@$(BIN)/python -m tests.bench --messages 2000 --rounds 3
	@mkdir -p .bench
	@$(BIN)/python -m tests.bench.peers --quick --json .bench/quick.json

gen: $(READY) ## write rexchange/_sync and the sync tests anew from the async ones
	@$(BIN)/python tools/unasync.py

format: $(READY) ## format Python and Lua
	@$(BIN)/ruff check --quiet --fix --exit-zero .
	@$(BIN)/ruff format .
	@stylua lua

clean: ## remove .venv, caches, build results
	@rm -rf .venv .bench build dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

check-format: $(READY) ## one step of check: the formatter has nothing to change
	@echo "== ruff format"
	@$(BIN)/ruff format --check .

check-lint: $(READY) ## one step of check: ruff, all rules
	@echo "== ruff check"
	@$(BIN)/ruff check .

check-mypy: $(READY) ## one step of check: mypy --strict
	@echo "== mypy --strict"
	@$(BIN)/mypy

check-pyright: $(READY) ## one step of check: pyright, strict
	@echo "== pyright strict"
	@PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

check-floors: $(READY) ## one step of check: imports go down only
	@echo "== floors (import-linter)"
	@$(BIN)/lint-imports --no-cache

check-unasync: $(READY) ## one step of check: the generated sync side and the ACL file are fresh
	@echo "== generated files"
	@$(BIN)/python tools/unasync.py --check
	@$(BIN)/python tools/acl.py --check

check-luacheck: ## one step of check: luacheck
	@echo "== luacheck"
	@command -v luacheck >/dev/null || { echo "luacheck is missing: apt-get install lua-check (or brew install luacheck)"; exit 1; }
	@luacheck --quiet lua

check-stylua: ## one step of check: Lua is formatted
	@echo "== stylua"
	@command -v stylua >/dev/null || { echo "stylua is missing: npm install --global @johnnymorganz/stylua-bin"; exit 1; }
	@stylua --check lua

check-tests: $(READY) ## one step of check: all tests; the quick ones measure coverage, which would slow down the others
	@$(if $(SPLIT),true,$(MAKE) --no-print-directory test SPLIT=1)
	@echo "== all other tests"
	@$(BIN)/python -m pytest -q -n $(WORKERS) -m "not ($(QUICK))"

# _async is left out of the second: the quick tests are those of _sync, which is generated from it; the others are of both.
check-coverage: check-tests ## one step of check: the quick tests cover 100 % of what decides, 95 % of the rest (branches too)
	@echo "== coverage"
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --include='$(SANS_IO)' --fail-under=100
	@$(BIN)/coverage report --omit='rexchange/_async/*' --fail-under=95

check-bench: $(READY) ## one step of check: every budget is measured, briefly (figures are for quiet machines)
	@echo "== the budgets, briefly"
	@$(BIN)/python -m tests.bench --messages 500 --rounds 1

check-wheel: $(READY) ## one step of check: build the wheel and use it in a clean venv
	@echo "== the wheel"
	@$(BIN)/python tools/check_wheel.py
