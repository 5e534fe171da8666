# Continuum. `make` lists what it can do; everything runs in .venv, which `make env` makes from requirements.lock.
.DEFAULT_GOAL := help
.PHONY: help env demo test test-long lint fmt bench bench-smoke rules lock clean

BIN := .venv/bin
STAMP := .venv/.complete
ARGS ?=
# Without compiled files every process that a test or a measurement starts would compile the project again.
unexport PYTHONDONTWRITEBYTECODE

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 18

env: $(STAMP)  ## the environment: locked dependencies and this project, in .venv

$(STAMP): requirements.lock pyproject.toml scripts/make-env
	@scripts/make-env
	@touch $@

demo: env  ## a node, a small shop, and a kill -9 in the middle of it
	@$(BIN)/continuum demo $(ARGS)

# Many tests wait for a process or a clock: one worker more than two cores keeps both busy.
test: env  ## every test; ARGS="-k name" for some of them
	$(BIN)/python -m pytest -n 3 --dist worksteal $(ARGS)

test-long: env  ## what takes minutes: hosts that are frozen, cut apart and restarted under load
	$(BIN)/python -m pytest -n 2 --dist worksteal -m long $(ARGS)

lint: env  ## ruff, mypy --strict and the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: env  ## formats the code and mends what ruff can mend
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: env  ## measures every figure of the README; ARGS=--publish writes them there, ARGS=--quick is a glance
	$(BIN)/python -m bench $(ARGS)

bench-smoke: env  ## half a minute: fails only if a ratio of speeds is not even half of what it should be
	$(BIN)/python -m bench --smoke $(ARGS)

rules: env  ## which rules of the semantics have no test
	@if [ -x ../shared/tools/rules ]; then ../shared/tools/rules; \
	else echo "make rules: ../shared/tools/rules is not beside this checkout; nothing was checked"; fi

lock:  ## renews requirements.lock to what pyproject.toml allows today (needs uv)
	@scripts/make-lock

clean:  ## removes what make made; databases in .continuum/ stay
	rm -rf .venv dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
