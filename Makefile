# Two commands: `make demo` and `make test`. Each makes .venv when it is missing, from the project's own files.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN ?= runs/demo
SOURCES := Cargo.toml pyproject.toml $(shell find rust kernels -name '*.rs' -o -name '*.py')

.PHONY: demo test clean

demo: $(VENV)/demo
	$(BIN)/analogue demo --out $(RUN) --overwrite

test: $(VENV)/test
	cargo test --release --quiet
	$(BIN)/python -m pytest $(PYTEST)

$(VENV)/bin/python:
	@scripts/check_tools.sh $(PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/demo: $(SOURCES) | $(VENV)/bin/python
	@scripts/check_tools.sh $(PYTHON)
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/test: $(SOURCES) | $(VENV)/bin/python
	@scripts/check_tools.sh $(PYTHON)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/demo

clean:
	rm -rf $(VENV) target runs
