# Needs Python 3.11 or later and make; everything else goes into .venv. The tests of pictures also
# need Debian's graphviz.
PYTHON ?= python3
WORKERS ?= 2
ARGS ?=

BIN := .venv/bin
STAMP := .venv/.installed

export OMP_NUM_THREADS := 1
export MKL_NUM_THREADS := 1

.PHONY: train test fuzz check schema docs bench experiments clean

train: $(STAMP)
	$(BIN)/composer train $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest -m "not slow" -n $(WORKERS)
	$(BIN)/python -m pytest -m slow -n $(WORKERS)

fuzz: $(STAMP)
	FUZZ_EXAMPLES=20000 CONFORMANCE_EXAMPLES=500 \
		$(BIN)/python -m pytest -q tests/test_fuzz.py tests/test_conformance.py $(ARGS)

check: $(STAMP)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/pyright --pythonpath $(BIN)/python

schema: $(STAMP)
	for name in $$(cd conf/schema && find . -name '*.json' | sed 's|^./||; s|.json$$||'); do \
		$(BIN)/composer schema $$name > conf/schema/$$name.json; \
	done

docs: $(STAMP)
	$(BIN)/python docs/spaces.py
	$(BIN)/python docs/algorithms.py

bench: $(STAMP)
	$(BIN)/python -m benchmarks.bench $(ARGS)

experiments: $(STAMP)
	$(BIN)/python -m benchmarks.experiments $(ARGS)
	test -n "$(ARGS)" || $(BIN)/python -m benchmarks.atari

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .hypothesis .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[bench,dev,draw,envs,graph]"
	touch $@
