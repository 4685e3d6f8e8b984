# The commands of this repository. `make` alone lists them.
#
# Everything runs through `.venv/bin/python -m ...` and every path is relative: so it works from a folder with
# a space in its name, and after the folder was moved.

PROJECT      ?= sample
DATASET      ?=
ONLY         ?=
PYTHON       ?= python3
AIRFLOW_PORT ?= 8080
AWS_PORT     ?= 5566
CONFIRM      ?=
COSTS        ?=
ROWS         ?=
JSON         ?=

# Exported, the values reach the recipes as they were given, whatever characters they hold.
export PROJECT DATASET ONLY AIRFLOW_PORT AWS_PORT CONFIRM COSTS ROWS
# Where this is set, each process that runs tests would compile all of them again.
unexport PYTHONDONTWRITEBYTECODE
# Where the user stands, for a relative DATASET: `make -C` changes the working folder, but not this.
export CALLER_FOLDER := $(PWD)

LAPTOP = .venv/bin/python -m include.laptop
PORTS  = --airflow-port "$$AIRFLOW_PORT" --aws-port "$$AWS_PORT"

PYTEST = .venv/bin/python -m pytest --run-times --numprocesses 3 --dist loadgroup --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup demo check up down status test test-fast verify-aws test-aws-software test-images test-serving-image image wheels bench lint lint-stack upstream env

help:  ## list the commands
	@echo "make <command>"
	@sed -n 's/^\([a-z-]*\):[a-z ]*## /  \1|/p' Makefile | while IFS='|' read -r name does; do printf '  %-19s%s\n' $$name "$$does"; done
	@echo
	@echo "variables: PROJECT=$(PROJECT) DATASET=<zip, folder, http(s) or s3 address> PYTHON=$(PYTHON)"
	@echo "           JSON=1 (check) AIRFLOW_PORT=$(AIRFLOW_PORT) AWS_PORT=$(AWS_PORT)"

setup:  ## make .venv with everything in it (about 7 GB); nothing to do the second time
	@"$(PYTHON)" include/laptop/bootstrap.py

demo: setup  ## train, deploy and call a model on this machine, and show the predictions
	@$(LAPTOP) demo $(PORTS) --project "$$PROJECT" --dataset "$$DATASET"

check:  ## check a data set as the pipeline would, without uploading or starting anything; JSON=1 for programs
	@"$(PYTHON)" include/laptop/bootstrap.py >&2  # JSON=1 prints nothing else to standard output
	@$(LAPTOP) check --project "$$PROJECT" --dataset "$$DATASET" $(if $(filter 1,$(JSON)),--json)

up: setup  ## start local AWS and Airflow
	@$(LAPTOP) up $(PORTS)

down:  ## stop all of it
	@if [ -x .venv/bin/python ]; then $(LAPTOP) down; else echo "Nothing was running"; fi

status:  ## show what runs, what is live, what waits for you, and what to do next; starts nothing
	@if [ -x .venv/bin/python ]; then $(LAPTOP) status; else echo "Nothing is running: \`make demo\` sets everything up and starts it"; fi

test: setup  ## run all tests
	@$(PYTEST)

test-fast: setup  ## run the tests that start no stack and are not slow
	@$(PYTEST) -m "not e2e and not browser and not slow"

verify-aws: setup  ## compare an AWS account with what the tests expect; a dry run without CONFIRM=<account id>
	@.venv/bin/python -m include.verify_aws --confirm "$$CONFIRM" --rows "$$ROWS" $(if $(filter 1,$(COSTS)),--costs)

test-aws-software: setup  ## compare local AWS with AWS's own software, which it fetches into .local (minutes)
	@PYTHONPATH=. .venv/bin/python tests/aws_software/environments.py

test-images: setup  ## train and serve with the versions of AWS's images; needs Python 3.12 and 3.13, takes 12 GB
	@.venv/bin/python tests/images/compare.py

wheels: setup  ## fetch the packages that AWS's images lack, and keep them in the bucket for Airflow
	@.venv/bin/python -m include.laptop.wheels "$$PROJECT"
test-serving-image: setup  ## run what the serving image consists of under a root of its own, without Docker (minutes)
	@.venv/bin/python tests/images/serving_root.py

image:  ## build the serving image with Docker, as "serving"; include/serving/Dockerfile
	@command -v docker > /dev/null || { echo "There is no docker on the PATH. Install Docker, or set endpoint.image to own: CodeBuild then builds the image in your account."; exit 1; }
	@docker info > /dev/null 2>&1 || { echo "Docker's daemon does not answer. Start it, or set endpoint.image to own: CodeBuild then builds the image in your account."; exit 1; }
	@docker build --pull --tag serving include/serving

bench: setup  ## measure it against what you would do instead; ONLY=staging,sweep,train,serve,local chooses
	@.venv/bin/python -m benchmarks --only "$$ONLY" --dataset "$$DATASET"

lint: setup  ## check code and spelling with ruff, mypy and codespell, the stack with cfn-lint and checkov
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m mypy
	@.venv/bin/python -m codespell_lib
	@.venv/bin/python -c 'import sys, cfnlint.runner; sys.exit(cfnlint.runner.main())' include/infrastructure/stack.yaml
	@$(MAKE) --no-print-directory lint-stack

lint-stack: setup  ## check the stack with checkov, which it fetches into .local (minutes)
	@.venv/bin/python -m include.infrastructure.scan

upstream: setup  ## list the workarounds for faults of Airflow, where an upgrade of Airflow begins
	@PYTHONPATH=plugins .venv/bin/python -m upstream_guards.catalog

env:  ## write .env and .env.aws, with new secrets, for docker-compose.yaml
	@"$(PYTHON)" include/laptop/env_file.py
