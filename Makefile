# Each target sets up what it needs: Python >= 3.11, make and a registry of Python packages will do.
# Written for the GNU make 3.81 that macOS ships.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test run bench lock clean

BIN := .venv/bin
STAMP := .venv/.stamp

help:
	@echo 'make demo    a panel and a training, from job file to result, in a throw-away studio'
	@echo 'make test    every check: format, lint, types, import contracts, tests'
	@echo 'make run     the daemon, with this checkout as its studio'
	@echo 'make bench   the measurements of BENCHMARKS.md'
	@echo 'make lock    write requirements.lock again from pyproject.toml (LOCK=--upgrade: newest versions)'
	@echo 'make clean   remove .venv and caches; studios and ledgers stay'

demo: $(STAMP)
	@$(BIN)/nightpress demo

test: $(STAMP)
	@$(BIN)/python -m tests

run: $(STAMP)
	@NIGHTPRESS_STUDIO='$(CURDIR)' $(BIN)/nightpress run

bench: $(STAMP)
	@$(BIN)/python -m bench

# A virtual environment dies when its interpreter is upgraded away or the checkout is moved; the
# stamp cannot know, so it counts only while the environment can import us without our help.
ALIVE := $(BIN)/python -I -c 'import daemon, sys; sys.exit(not daemon.__file__.startswith("$(CURDIR)/"))'
ifneq ($(shell $(ALIVE) 2>/dev/null && echo alive),alive)
.PHONY: $(STAMP)
endif

# Sets `python` to the first interpreter that really runs, is new enough and can make environments:
# a pyenv shim of an uninstalled version is on PATH and fails, Debian splits `ensurepip` off.
define FIND_PYTHON
python=; \
for each in $(PYTHON) python3.13 python3.12 python3.11 python3.14 python3 python \
	/opt/homebrew/bin/python3 /usr/local/bin/python3 /usr/bin/python3; do \
	if "$$each" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	then python=$$each; break; fi; \
done; \
if [ -z "$$python" ]; then \
	echo 'nightpress needs Python 3.11 or newer with its venv module, and none was found on PATH.' >&2; \
	echo 'macOS: brew install python@3.13 — Debian, Ubuntu: apt install python3 python3-venv.' >&2; \
	echo 'One that is elsewhere: make PYTHON=/path/to/python3.13 …' >&2; \
	exit 1; \
fi
endef

PIP_INSTALL := -m pip install -qq --disable-pip-version-check --no-input

$(STAMP): requirements.lock pyproject.toml
	@$(ALIVE) 2>/dev/null && exit 0; $(FIND_PYTHON); \
	echo "Setting up .venv with $$python; this takes a minute, once." >&2; \
	"$$python" -m venv --clear .venv
	@$(BIN)/python $(PIP_INSTALL) --require-hashes -r requirements.lock
	@$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

# uv writes the lock for every platform at once; it is a tool, and no part of the lock.
lock:
	@$(FIND_PYTHON); "$$python" -m venv --clear .lock-venv
	@.lock-venv/bin/python $(PIP_INSTALL) uv
	@.lock-venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --extra dev --extra build $(LOCK) \
		--output-file requirements.lock pyproject.toml
	@rm -rf .lock-venv

clean:
	rm -rf .venv .lock-venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
