# Everything lives in .venv of this checkout; `make help` lists the targets.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
DRIVER ?= auto
EXAMPLE ?= l2_dsr
REQUESTS ?= 100
SECONDS ?= 60
FRAMES ?= 1000000
FLOWS ?= 1000000
HELD ?= 3000
CHECKED ?= 200000
ARM_FRAMES ?= 50000
COMMITS ?= 500
KILLS ?= 200
EXAMPLES ?= 2000
VIPS ?= 200
CONNECTIONS ?= 1000
BEFORE ?= d94569b
PROPERTIES := tests/grammar tests/placement tests/packets/test_rewrite.py tests/dataplane/test_drawing.py tests/dataplane/test_foreign.py tests/dataplane/test_maglev.py tests/dataplane/test_transition.py tests/configuration/test_confirming.py tests/configuration/test_consistency.py tests/configuration/test_differences.py tests/configuration/test_history.py tests/configuration/test_transfer.py tests/configuration/test_undo.py tests/shell/test_properties.py tests/shell/test_roundtrip.py
KERNEL ?= 6.1
KERNEL_TESTS ?= tests/xdp/test_object.py tests/xdp/test_packets.py tests/xdp/test_handshakes.py tests/xdp/test_driver.py tests/xdp/test_flows.py tests/xdp/test_capture.py tests/xdp/test_capturing.py tests/server tests/kernels/vlans.py

.DEFAULT_GOAL := help
.PHONY: help demo dpdk test test-dpdk dpdk-fresh lint pictures soak fuzz faults arm64 torture properties fleet bench bench-shell test-kernel deb install-demo install-test xdp clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: install-demo $(if $(filter dpdk,$(DRIVER)),dpdk) ## the appliance's session forwards real traffic (DRIVER=auto|xdp|dpdk|pcap EXAMPLE=l2_dsr|l3_dsr|…)
	@$(BIN)/avi-lab run $(EXAMPLE) --driver $(DRIVER) $(if $(SOCKETS),--sockets $(SOCKETS)) --requests $(REQUESTS)

test: install-test ## lint, types and every test (root and BPF needed; 9 minutes on two processors)
	@$(BIN)/python -m tests.suite

test-dpdk: install-test ## what stands above the drivers, on DPDK's too (10 minutes)
	@AVI_TEST_EVERY_DRIVER=1 $(BIN)/pytest -n 2 -k dpdk -p no:cacheprovider tests

dpdk-fresh: install-test ## `make dpdk` in a Debian that has nothing yet, and refusals without it (6 minutes)
	@.ci/install fresh
	@$(BIN)/python -m tests.dpdk.fresh

lint: install-test ## ruff and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

manual: install-test ## rewrite what of the manual is made from the product
	@$(BIN)/python -m tests.manualpages

pictures: install-test ## take the README's pictures anew, of a laboratory under traffic
	@$(BIN)/python -m tests.pictures

xdp: ## rebuild the shipped XDP objects, native loops and native decision from their source
	@$(MAKE) --no-print-directory -C dataplane/forwarding/program
	@$(MAKE) --no-print-directory -C dataplane/native
	@$(MAKE) --no-print-directory -C dataplane/native/decision
	@$(MAKE) --no-print-directory -C dataplane/drivers/pcap

dpdk: ## install DPDK, and build what the DPDK driver forwards by (2 minutes)
	@.ci/install dpdk
	@$(MAKE) --no-print-directory -s -C dataplane/drivers/dpdk/forwarder

install-demo: $(VENV)/installed-demo
	@.ci/install demo

install-test: $(VENV)/installed-test dpdk
	@.ci/install test

$(VENV)/bin/python:
	@.ci/install demo
	@$(PYTHON) -m venv $(VENV)

$(VENV)/installed-demo: setup.cfg pyproject.toml | $(VENV)/bin/python
	@echo "installing Python packages into $(VENV)" >&2
	@$(BIN)/pip install -q --disable-pip-version-check -e .
	@touch $@

$(VENV)/installed-test: setup.cfg pyproject.toml | $(VENV)/bin/python
	@echo "installing Python packages into $(VENV)" >&2
	@$(BIN)/pip install -q --disable-pip-version-check -e '.[test]'
	@touch $@ $(VENV)/installed-demo

flows: install-test ## where the engine says that flows go, against where they are: 10,000 and more on each driver (HELD=3000)
	@HELD=$(HELD) FLOWS=$(FLOWS) AVI_TEST_EVERY_DRIVER=1 $(BIN)/pytest -v -p no:cacheprovider tests/lab/test_transitions.py -k through_changes_of_their_pool

soak: install-test ## a minute of traffic while the plan changes ten times a second (SECONDS=60)
	@$(BIN)/python -m tests.lab.soak --seconds $(SECONDS)

fuzz: install-test ## random frames through XDP program, native decision, reference (FRAMES=1000000 CHECKED=200000)
	@$(BIN)/python -m tests.xdp.fuzz --frames $(FRAMES) --seconds 1800
	@$(BIN)/python -m tests.xdp.checked --frames $(CHECKED) --seconds 1800
	@$(BIN)/python -m tests.dpdk.fuzz --frames $(FRAMES) --seconds 1800

faults: install-test ## twelve faults planted on both drivers, each named by a few show commands
	@AVI_TEST_FAULTS=1 $(BIN)/pytest -p no:cacheprovider tests/sight

arm64: install-test ## the native decision for Arm, emulated: packet table and random frames (ARM_FRAMES=50000)
	@.ci/install arm64
	@$(BIN)/python -m tests.xdp.arm64 --frames $(ARM_FRAMES)

torture: install-test ## kills, damage, full disks, mutated input: every part (TORTURE="kills=50 starts": those alone)
	@$(BIN)/python -m tests.torture $(TORTURE)

properties: install-test ## what must hold of every input, with many more inputs than make test has (EXAMPLES=2000)
	@AVI_TEST_EXAMPLES=$(EXAMPLES) $(BIN)/pytest -n 2 -o timeout=3600 -p no:cacheprovider $(PROPERTIES)

fleet: install-test ## several engines and hosts, and what befalls them (COMMITS=500 KILLS=200 VIPS=200 CONNECTIONS=1000 BEFORE=COMMIT)
	@$(BIN)/python -m tests.cluster.fleet --commits $(COMMITS) --kills $(KILLS)
	@$(BIN)/python -m tests.cluster.failover --vips $(VIPS)
	@$(BIN)/python -m tests.bgp.events --connections $(CONNECTIONS)
	@$(BIN)/python -m tests.bgp.crowd
	@$(BIN)/python -m tests.lab.coldengine
	@$(BIN)/python -m tests.cluster.upgrade --before $(BEFORE)
	@$(BIN)/python -m tests.bgp.upgrade --before $(BEFORE) --connections $(CONNECTIONS)

test-kernel: install-test ## the XDP program, avi-server and VLANs on another kernel of Debian's, emulated (KERNEL=6.1)
	@.ci/install kernel
	@$(BIN)/python -m tests.kernels.boot --kernel $(KERNEL) $(BIN)/pytest -n 2 -v --color=no -o timeout=900 -p no:cacheprovider --durations=15 $(KERNEL_TESTS)

bench: install-test ## measure every row in one run: table, build/bench/ (QUICK=1, ONLY="latency pcap", AGAINST=COMMIT)
	@$(BIN)/python -m tests.bench$(if $(AGAINST),.against $(AGAINST)) $(if $(QUICK),--quick) $(addprefix --only ,$(ONLY))

bench-shell: install-test ## how fast the shell starts, parses and commits
	@$(BIN)/python -m tests.bench.shell

deb: install-test ## the wheel and the Debian package, into build/
	@rm -f build/*.whl build/*.deb
	@$(BIN)/pip wheel -q --disable-pip-version-check --no-deps --no-build-isolation -w build .
	@PYTHON=$(BIN)/python distribution/deb build/*.whl build/avi-shell.deb
	@ls build/*.whl build/*.deb

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) *.egg-info build .pytest_cache .mypy_cache .ruff_cache .hypothesis
