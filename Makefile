# `make demo` and `make test` are all the set-up there is: they need Python >= 3.11 and nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CLUSTER ?= local
ARGS ?=
COMPILED := build/compiled
ON_COMPILED = PYTHONPATH=$(CURDIR)/$(COMPILED)
# On the compiled request path: its own rules, and what goes over its sockets. Whole programs and
# other people's clients meet it in the cluster suite, whose image is compiled.
COMPILED_TESTS := tests/unit/dataplane $(patsubst %,tests/e2e/dataplane/test_%.py,backend_faults framing hostile_backend moved_bodies soak wire)
STAMP := $(VENV)/.installed-$(shell cksum < requirements/dev.lock | cut -d' ' -f1)
CHART_STAMP := $(VENV)/.installed-chart-$(shell cksum < requirements/bench.lock | cut -d' ' -f1)

.PHONY: compiled demo test test-compiled lint lint-chart docs format e2e bench bench-control bench-login bench-publish bench-quick bench-start bench-tls bench-workers soak lock clean help

help: ## Show the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(STAMP): requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "BucketRoute needs Python 3.11 or newer; try: make PYTHON=python3.12"; exit 1; }
	@echo "The first time: fetching what BucketRoute and its tests need into $(VENV), a minute or more."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.installed-*; touch $@

# What draws the benchmark's chart, and nothing else needs.
$(CHART_STAMP): requirements/bench.lock $(STAMP)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.lock
	@rm -f $(VENV)/.installed-chart-*; touch $@

demo: $(STAMP) ## Show the product: embedded backend, one route, boto3 through it (ARGS=--once exits)
	$(BIN)/bucketroute demo $(ARGS)

test: $(STAMP) ## Run every test that needs no cluster (ARGS go to pytest)
	$(BIN)/pytest $(ARGS)

# The wheel that the images hold, unpacked: what comes before the checkout on the path is compiled.
$(COMPILED)/.made: $(STAMP) pyproject.toml dataplane/hatch_build.py $(shell find operator dataplane cli -name '*.py')
	rm -rf $(COMPILED)
	BUCKETROUTE_COMPILE=1 $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --target $(COMPILED) .
	@touch $@

compiled: $(COMPILED)/.made ## Compile the request path, as the image has it (needs a C compiler)

test-compiled: $(COMPILED)/.made ## Run the data plane's tests on the compiled request path (ARGS go to pytest)
	BUCKETROUTE_EXPECT_COMPILED=1 $(ON_COMPILED) $(BIN)/pytest $(COMPILED_TESTS) $(ARGS)

lint: $(STAMP) ## Check format, style, types and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lint-chart: ## Check the Helm chart: lint, golden files, schema (helm is built or fetched)
	charts/lint.sh

e2e: $(STAMP) ## Run the cluster suite: CLUSTER=kind (Docker) or CLUSTER=local (root on Debian)
	CLUSTER=$(CLUSTER) PYTEST=$(CURDIR)/$(BIN)/pytest tests/e2e/cluster/run.sh $(ARGS)

docs: $(STAMP) ## Write the generated pages of docs/ anew
	$(BIN)/python tests/support/bucketroute_testing/doc_tables.py
	PYTHONPATH=tests/support $(BIN)/python -m bucketroute_testing.behaviour

format: $(STAMP) ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench-quick: $(CHART_STAMP) $(COMPILED)/.made ## Compare with nginx: 4 KiB and 64 MiB, about two minutes
	$(ON_COMPILED) $(BIN)/python -m bench quick $(ARGS)

bench-tls: $(CHART_STAMP) $(COMPILED)/.made ## The comparison with TLS on either side, four minutes
	$(ON_COMPILED) $(BIN)/python -m bench tls $(ARGS)

bench: $(CHART_STAMP) $(COMPILED)/.made ## The full comparison, about twenty minutes
	$(ON_COMPILED) $(BIN)/python -m bench full $(ARGS)

bench-publish: $(CHART_STAMP) ## Have the README show a full run: RESULTS=bench/results/full-....json
	$(BIN)/python -m bench publish $(RESULTS)

bench-control: $(STAMP) ## Time the operator in a local cluster, 100 to 10,000 routes, about fifteen minutes
	PYTHON=$(CURDIR)/$(BIN)/python bench/control/run.sh $(ARGS)

soak: $(COMPILED)/.made ## Mixed load with accidents on both sides, ten minutes; is anything left behind?
	$(ON_COMPILED):tests/support $(BIN)/python -m bench.soak $(ARGS)

bench-login: $(COMPILED)/.made ## Time logins, and weigh 10,000 open sessions, about half a minute
	$(ON_COMPILED) $(BIN)/python -m bench.login $(ARGS)

bench-workers: $(COMPILED)/.made ## What several workers in a pod cost, beside one process, about two minutes
	$(ON_COMPILED) $(BIN)/python -m bench.workers $(ARGS)

bench-start: $(STAMP) ## How soon the programs are ready, their memory and their images, two minutes
	PYTHONPATH=tests/support $(BIN)/python -m bench.start $(ARGS)

lock: ## Resolve the locks of requirements/ anew
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet uv
	requirements/lock.sh $(VENV)-lock/bin/uv

clean: ## Remove what the targets made
	rm -rf $(VENV) $(VENV)-lock $(COMPILED) bench/build bench/results
