# `make demo` and `make test` set everything up by themselves; both can be run again and are quick then.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
DEMO := build/demo
FALCONMIX := $(BIN)/falconmix
PEERS := build/bench-env
PACKAGES := falconmix pipeline stages mixtures trainer

sources = $(shell find $(1) -type f -not -name '*.pyc' -not -name '*.nb[ci]' 2>/dev/null)
SAMPLE := $(call sources,examples)
CURATION := $(call sources,falconmix pipeline stages)
MIXING := $(call sources,falconmix mixtures)
TRAINING := $(call sources,falconmix mixtures trainer)

.PHONY: setup demo test test-slow lint check bench-env bench clean
.DEFAULT_GOAL := check

setup: $(VENV)/.ready

# torch first and alone: the pin decides which build is taken before anything else can ask for another.
$(VENV)/.ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,dev]'
	touch $@

# numba notices a change in the file that holds a kernel, but not in kernels that it calls from another file.
$(VENV)/.kernels: $(VENV)/.ready $(wildcard stages/*.py stages/*/*.py mixtures/*.py mixtures/*/*.py)
	find stages mixtures -name '*.nb[ci]' -delete
	touch $@

demo: $(DEMO)/.hf
	@echo
	@echo "demo finished; all of it is below $(DEMO)/:"
	@echo "  warc/   the sample crawl             out/report/index.html   what was removed, and why"
	@echo "  out/    RefinedWeb-English, -Europe  run/report.html         losses, rates and speed over four stages"
	@echo "  tokens/ token files, tokenizer       hf/                     the model, for transformers"

$(DEMO)/.warc: $(VENV)/.ready $(SAMPLE)
	$(BIN)/python examples/make_sample.py $(DEMO)/warc
	touch $@

$(DEMO)/.out: $(DEMO)/.warc $(VENV)/.kernels $(CURATION)
	$(FALCONMIX) curate $(DEMO)/warc --output $(DEMO)/out --recipe examples/curation.yaml --restart
	touch $@

$(DEMO)/.tokens: $(DEMO)/.out $(MIXING)
	rm -rf $(DEMO)/tokens
	$(BIN)/python examples/train_tokenizer.py $(DEMO)/out examples/corpora --output $(DEMO)/tokens/tokenizer.json
	$(FALCONMIX) tokenize $(DEMO)/out examples/corpora/*.jsonl \
		--tokenizer $(DEMO)/tokens/tokenizer.json --output $(DEMO)/tokens
	touch $@

$(DEMO)/.run: $(DEMO)/.tokens $(TRAINING)
	$(FALCONMIX) mix demo --plan --tokens $(DEMO)/tokens
	$(FALCONMIX) train demo --tokens $(DEMO)/tokens --output $(DEMO)/run --restart
	touch $@

$(DEMO)/.hf: $(DEMO)/.run
	rm -rf $(DEMO)/hf
	$(FALCONMIX) export $(DEMO)/run $(DEMO)/hf
	touch $@

# In two processes, a file in one of them.
test: setup $(VENV)/.kernels
	$(BIN)/pytest -n 2 --dist loadfile

test-slow: setup $(VENV)/.kernels
	$(BIN)/pytest -m slow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

bench-env: $(PEERS)/.ready

# datatrove pins an old trafilatura; the version that falconmix uses lies beside it, for comparing like with like.
$(PEERS)/.ready: benchmarks/constraints.txt constraints.txt
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check -c benchmarks/constraints.txt \
		'datatrove[io,processing]==0.10.1' spacy lxml_html_clean rensa pydivsufsort
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check --no-deps --upgrade \
		--target $(PEERS)/trafilatura-same $(shell grep '^trafilatura==' constraints.txt)
	touch $@

# An hour or more on two cores, half of it for mutated pages; writes docs/benchmarks.md.
bench: $(VENV)/.kernels bench-env
	$(BIN)/python benchmarks/all.py

clean:
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis
