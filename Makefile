# make demo   the main job on a simulated patient, from nothing but python3 and pip
# make lint   format, style, types and the floors of the library
# make test   every test that is not a benchmark or a soak
# make fuzz   every reader against damaged files, 200 of each format
# make soak   runs and cohorts that meet with every fault on the way
# Other machines: make PYTHON=python3.12 CONSTRAINTS=my-constraints.txt
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
DEMO_OUTPUT ?= demo-output
# One more than two cores: some tests wait for processes, schedulers and a browser.
JOBS ?= 3
ORACLES ?= antspyx itk-elastix monai surfa nitransforms pynrrd dask-kubernetes

BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check install -q --constraint $(CONSTRAINTS)
export OMP_NUM_THREADS ?= 2

.PHONY: demo lint test gui soak fuzz gui-test gui-host-check gui-api-lists benchmark-accuracy benchmark-speed clean

$(VENV)/.installed: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (some minutes the first time) ..."
	@# torch alone and first: a resolver that meets it through another package may choose a build of several GB.
	$(PIP) torch
	$(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/.test-installed: $(VENV)/.installed
	$(PIP) --editable '.[test,surfaces]'
	@touch $@

# Other people's tools as oracles: each is installed by itself, and the tests of one that cannot be had skip with its name.
$(VENV)/.oracles-installed: $(VENV)/.test-installed
	@for tool in $(ORACLES) PySide6-Essentials selenium axe-selenium-python; do $(PIP) $$tool || echo "$$tool: not installed, its tests will skip"; done
	@touch $@

$(VENV)/.lint-installed: $(VENV)/.installed
	$(PIP) --editable '.[lint]'
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/python -m Testing.demo.run --output $(DEMO_OUTPUT)

lint: $(VENV)/.lint-installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	cd VoxelMorphRegistration && $(abspath $(BIN))/lint-imports ../pyproject.toml

test: $(VENV)/.oracles-installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile Testing/gui

# The panel in a stand-in for Slicer's window, a part of `make test`: in processes of its own, because its application
# takes the place of slicer-core's bare modules, which the other tests use, for as long as a process lives.
gui: $(VENV)/.oracles-installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile Testing/gui

# SLICER=/path/to/a/checkout: the window's scenarios on Slicer's own Python files.
gui-test: $(VENV)/.oracles-installed
	OMP_NUM_THREADS=1 SLICER_CHECKOUT=$(abspath $(SLICER)) $(BIN)/python -m pytest -n $(JOBS) --dist loadfile Testing/gui

# Slicer's own tests of what its modules' windows stand on, run on the host: how faithful it is.
gui-host-check: $(VENV)/.oracles-installed
	$(BIN)/python -m Testing.gui.host_check $(SLICER)

# What the real widgets offer, from the headers in two checkouts.
gui-api-lists: $(VENV)/.oracles-installed
	$(BIN)/python -m Testing.gui.make_api_lists $(SLICER) $(CTK)

# OPTIONS="--only nii --count 50 --keep DIR"; --help of the script says the others.
fuzz: $(VENV)/.test-installed
	OMP_NUM_THREADS=1 $(BIN)/python -m Testing.soak.fuzz $(OPTIONS)

# OPTIONS="--only worker-killed --kills 50"; --help of the script says the others.
soak: $(VENV)/.test-installed
	OMP_NUM_THREADS=1 $(BIN)/python -m Testing.soak.run $(OPTIONS)

$(VENV)-benchmark/.installed: Testing/benchmarks/requirements.txt pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)-benchmark
	$(VENV)-benchmark/bin/pip --disable-pip-version-check install -q --constraint $(CONSTRAINTS) torch
	$(VENV)-benchmark/bin/pip --disable-pip-version-check install -q --constraint $(CONSTRAINTS) --editable '.[test,surfaces]' -r Testing/benchmarks/requirements.txt
	@touch $@

# segflow4d pins an old SimpleITK through its GPU back end; greedy is its CPU back end.
$(VENV)-segflow4d/.installed: $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)-segflow4d
	$(VENV)-segflow4d/bin/pip --disable-pip-version-check install -q --constraint $(CONSTRAINTS) torch
	$(VENV)-segflow4d/bin/pip --disable-pip-version-check install -q --constraint $(CONSTRAINTS) segflow4d picsl-greedy
	@touch $@

# OPTIONS="--subset quick" takes the brains at 2 mm; --help of run.py says the others.
benchmark-accuracy: $(VENV)-benchmark/.installed $(VENV)-segflow4d/.installed
	$(VENV)-benchmark/bin/python -m Testing.benchmarks.accuracy.run \
		--segflow-python $(abspath $(VENV)-segflow4d/bin/python) $(OPTIONS)

# Apart from the rest, whose networks it would compute where it is found.
$(VENV)-benchmark/openvino/.installed: $(VENV)-benchmark/.installed
	$(VENV)-benchmark/bin/pip --disable-pip-version-check install -q --no-deps --target $(@D) openvino
	@touch $@

# OPTIONS="--only forward size"; --help of run.py says the others. Small sizes, which are recorded nowhere: OPTIONS=--quick.
# On another machine than the recorded one: OPTIONS="--record-in DIR", or --anew to begin the table again.
benchmark-speed: $(VENV)-benchmark/openvino/.installed
	$(VENV)-benchmark/bin/python -m Testing.benchmarks.speed.run --record --openvino $(<D) $(OPTIONS)

clean:
	rm -rf $(VENV) $(VENV)-benchmark $(VENV)-segflow4d $(DEMO_OUTPUT) build *.egg-info
