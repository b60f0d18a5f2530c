# llmserve: the targets people type. Everything is set up in .venv, which can be deleted at any time.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
SGLANG_READY := $(VENV)/.sglang
NODE_READY := $(VENV)/node/.tried
CHROMIUM_READY := $(VENV)/.chromium
PEERS_READY := $(patsubst %,$(VENV)/peers/%/.ready,vllm litellm sglang-router transformers)

.DEFAULT_GOAL := help
.PHONY: help up test test-unit test-faults test-probe test-deviations test-engine test-servers test-signals cycles lint format bench bench-plan bench-pull bench-bench wheel picture clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

up: $(READY) ## Set up and serve the best model for this machine
	@$(BIN)/llmserve up $(MODEL) || [ $$? = 130 ] # Ctrl-C is how it ends

test: lint $(SGLANG_READY) $(NODE_READY) $(PEERS_READY) $(CHROMIUM_READY) ## Set up everything, real engines included, and run all tests
	@echo "--- tests: unit, then downloads that go wrong, then real engines (llama.cpp and SGLang on the CPU), then servers under fault"
	@LLMSERVE_TEST_ALL_ENGINES=1 $(BIN)/python -m pytest tests/unit tests/faults tests/probe tests/browser tests/engine tests/servers

test-unit: $(READY) $(NODE_READY) ## Run the tests that need no engine
	@$(BIN)/python -m pytest -q tests/unit

test-faults: $(READY) ## Run downloads against a hub, a disk and a user that do everything wrong
	@$(BIN)/python -m pytest -q tests/faults

test-probe: $(READY) $(NODE_READY) ## Run the probe against a server that is OpenAI but for one deviation, and hostile ones
	@$(BIN)/python -m pytest -q -s tests/probe

test-deviations: $(READY) ## Run every check on every deviation: nothing fails that does not follow from it
	@LLMSERVE_TEST_ALL_CHECKS=1 $(BIN)/python -m pytest -q -s tests/probe/test_consequences.py

test-engine: $(SGLANG_READY) ## Run the tests against real engines
	@LLMSERVE_TEST_ALL_ENGINES=1 $(BIN)/python -m pytest tests/engine

test-servers: $(SGLANG_READY) ## Run servers under every signal, full disks, damaged records, races; count the cases
	@LLMSERVE_TEST_ALL_ENGINES=1 $(BIN)/python -m pytest tests/servers

test-signals: $(SGLANG_READY) ## Run every signal to every process in every phase, on both engines; takes half an hour or more
	@LLMSERVE_TEST_ALL_ENGINES=1 LLMSERVE_TEST_ALL_SIGNALS=1 $(BIN)/python -m pytest tests/servers/test_signals.py tests/servers/test_signals_sglang.py

cycles: $(READY) ## Start and stop a server a hundred times: nothing may stay behind
	@LLMSERVE_TEST_CYCLES=100 $(BIN)/python -m pytest tests/servers/test_cycles.py

.PHONY: peers
peers: $(PEERS_READY) ## Set up vLLM, LiteLLM, SGLang's router and transformers serve, to test the client commands against

lint: $(READY) ## Check style and types
	@$(BIN)/ruff check cli tests docs
	@$(BIN)/ruff format --check cli tests docs
	@$(BIN)/mypy

format: $(READY) ## Format the code
	@$(BIN)/ruff format cli tests docs
	@$(BIN)/ruff check --fix cli tests docs

# Tests start hundreds of processes: compiled modules are kept, whatever the shell says.
test test-unit test-faults test-engine test-servers test-signals cycles bench bench-plan bench-pull: export PYTHONDONTWRITEBYTECODE :=

bench: $(SGLANG_READY) ## Measure start-up against plain Python and against the engines alone
	@$(BIN)/python -m pytest tests/bench -s

bench-plan: $(READY) ## Compare the planner with recorded start-ups, and with other rules on the same cases
	@$(BIN)/python -m pytest tests/bench/test_plan_accuracy.py -s

bench-pull: $(READY) ## Compare downloads with those of the hub's own client
	@$(BIN)/python -m pytest tests/bench/test_pull.py -s

bench-bench: $(READY) ## Compare what the load generator reports with what a mock endpoint really wrote
	@$(BIN)/python -m pytest tests/bench/test_load_generator.py -q -s

wheel: $(READY) ## Build the wheel into dist/
	@$(BIN)/python -m build --wheel --outdir dist

picture: $(READY) ## Draw the README's picture anew from real commands
	@$(BIN)/python docs/record.py

clean: ## Remove the virtual environment and caches (engines and models stay)
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis

# An interrupted set-up leaves no .installed, and the next run begins anew.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: llmserve needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1)."; echo "  Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "--- setting up .venv with llmserve, the embedded engine and the test tools"
	@test -e $@ || rm -rf $(VENV)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "error: $(PYTHON) cannot make virtual environments."; echo "  On Debian: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install -q --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[cpu]' --group dev
	@touch $@

# Only the probe's tests use it, and they are skipped without it; so nothing here may fail for the lack of npm.
$(NODE_READY): $(READY)
	@mkdir -p $(VENV)/node
	@if command -v npm >/dev/null && npm install --prefix $(VENV)/node --silent --no-audit --no-fund openai@6.49.0 >/dev/null 2>&1; \
	  then echo "--- openai for node is in $(VENV)/node"; else echo "--- no openai for node: tests that need it are skipped"; fi
	@touch $@

$(SGLANG_READY): $(READY) $(wildcard templates/engines/*) $(wildcard cli/llmserve/engine/sglang/cpu_platform/*)
	@echo "--- setting up SGLang for the CPU (about 3 GB and two minutes, once)"
	@$(BIN)/llmserve engine install sglang --device cpu
	@touch $@

$(VENV)/peers/%/.ready: tests/peers/%.txt tests/peers/install.py $(READY)
	@echo "--- setting up $*, to test against"
	@$(BIN)/python tests/peers/install.py $* $(@D)
	@touch $@

$(VENV)/peers/transformers/.ready: $(VENV)/peers/vllm/.ready # whose torch and transformers it shares

# Pages are looked at in a real browser where there is one, or where one can be installed without asking.
$(CHROMIUM_READY): $(READY)
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium; } >/dev/null 2>&1; } || \
	  echo "--- no Chromium here: the tests of pages will be skipped"
	@touch $@
