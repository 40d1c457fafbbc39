# `make demo` and `make test` need only git, make and python3 (3.11 to 3.13).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-thorough lint format docs install clean

demo: $(VENV)/.installed
	$(BIN)/python -m experiments.demo

test: $(VENV)/.installed
	$(BIN)/python -m pytest --durations=15

test-thorough: $(VENV)/.installed
	$(BIN)/python -m pytest --durations=15 -m 'thorough and not slow'

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.documented
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

install: $(VENV)/.installed

$(VENV)/.documented: $(VENV)/.installed
	$(PIP) --constraint constraints.txt --editable '.[docs]' || $(PIP) --editable '.[docs]'
	touch $@

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else "jaxrl needs Python 3.11, 3.12 or 3.13, but $(PYTHON) is %d.%d: say PYTHON=python3.12, for example" % v)'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip
	$(PIP) --constraint constraints.txt --editable '.[test]' || \
		(echo "The versions of constraints.txt cannot be had: installing the newest." && \
		$(PIP) --editable '.[test]')
	touch $@

clean:
	rm -rf $(VENV) build dist site *.egg-info
