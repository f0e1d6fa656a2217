# make demo                        train MMSegmentation's own trainer with a loss of ours, see it learn
# make demo FRAMEWORK=monai        the same in MONAI; FRAMEWORK=detectron2 in Detectron2
# make demo DATA=camvid            real images of $METRISEG_DATA: streets in MMSegmentation;
#                                  DATA=hippocampus in MONAI, DATA=nuclei in Detectron2
# make test                        everything that must hold
# make test-slow                   what takes long: more of the zoos and scripts, trained
# make test-compile                every loss through torch.compile at the size of an image: an hour
# make fuzz                        20,000 random and hostile cases of all losses: half an hour;
#                                  CASES=200000 for more, SEED=7 for those of that seed
# make docs                        the documentation, into site/
# make readme                      the README's table of losses, from the catalogue
# make tables                      the tables of the frameworks' pages, asked of both sides, and
#                                  of what others call it
# make reproductions               the tables of what was measured, from docs/reproductions
# make lint | make clean
#
# Each creates .venv and installs what it needs, once. PYTHON names the interpreter to start from.

PYTHON ?= python3
DATA ?= digits
FRAMEWORK_OF_camvid := mmseg
FRAMEWORK_OF_hippocampus := monai
FRAMEWORK_OF_nuclei := detectron2
FRAMEWORK ?= $(or $(FRAMEWORK_OF_$(DATA)),mmseg)
CASES ?= 20000
SEED ?=
FRAMEWORKS := mmseg monai detectron2

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
# Detectron2 is on no package index: a wheel that you have built is picked up here
PYTHON_TAG := $(shell $(PYTHON) -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
DETECTRON2_WHEEL := $(lastword $(sort $(wildcard \
  $(HOME)/.cache/metriseg/wheels/detectron2-*-$(PYTHON_TAG)-*.whl)))

# OpenCV's usual wheel needs a graphics library of the system that a bare machine may lack
define windowless-opencv
$(BIN)/python -c 'import importlib.util as u; u.find_spec("cv2") and __import__("cv2")' 2>/dev/null \
  || $(PIP) --no-deps --force-reinstall opencv-python-headless
endef

# mkdocs 1 is pinned: its theme and plugins need not warn of mkdocs 2
QUIET_MKDOCS := NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true

# so small networks gain nothing from threads, and on a busy machine these wait for each other
export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-slow test-compile fuzz lint docs readme tables reproductions clean
.DELETE_ON_ERROR:

demo: .venv/.demo-$(FRAMEWORK) $(if $(filter detectron2,$(FRAMEWORK)),.venv/.detectron2)
	@$(BIN)/python -m metriseg_$(FRAMEWORK).demo --data $(DATA)

test: lint
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

test-slow: .venv/.test .venv/.detectron2
	$(BIN)/python -m pytest --numprocesses auto -m slow

test-compile: .venv/.test
	$(BIN)/python -m pytest tests/compiled/test_compiled.py

fuzz: .venv/.test
	@$(BIN)/python tests/fuzz.py --cases $(CASES) $(if $(SEED),--seed $(SEED))

lint: .venv/.test .venv/.detectron2
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/.docs
	@$(QUIET_MKDOCS) $(BIN)/python -m mkdocs build --strict --quiet
	@echo "site/index.html"

readme: .venv/.torch
	@PYTHONPATH=core $(BIN)/python docs/readme.py

tables: .venv/.test .venv/.detectron2
	@$(BIN)/python docs/peers.py
	@$(BIN)/python docs/monai_tables.py
	@$(BIN)/python docs/mmseg_tables.py 2>/dev/null
ifneq ($(DETECTRON2_WHEEL),)
	@$(BIN)/python docs/detectron2_tables.py 2>/dev/null
endif

reproductions: .venv/.test
	@$(BIN)/python docs/reproductions.py

clean:
	rm -rf .venv work_dirs demo build dist site

.venv/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "metriseg needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	@echo "creating .venv (the first time, packages of several GB are installed: minutes)"
	@$(PYTHON) -m venv .venv
	@$(PIP) pip setuptools wheel
	@touch $@

# torch comes first: what is built from source beside it looks for it
.venv/.torch: .venv/.python constraints.txt
	@$(PIP) torch torchvision
	@touch $@

$(FRAMEWORKS:%=.venv/.demo-%): .venv/.demo-%: .venv/.torch pyproject.toml constraints.txt
	@$(PIP) --editable '.[$*,demo]'
	@$(windowless-opencv)
	@touch $@

.venv/.test: .venv/.torch pyproject.toml constraints.txt
	@$(PIP) --editable '.[all,dev,docs]'
	@$(windowless-opencv)
	@touch $@

.venv/.docs: .venv/.torch pyproject.toml constraints.txt
	@$(PIP) --editable '.[docs]'
	@touch $@

.venv/.detectron2: .venv/.torch $(DETECTRON2_WHEEL)
ifneq ($(DETECTRON2_WHEEL),)
	@$(PIP) --no-deps $(DETECTRON2_WHEEL)
	@touch $@
endif
