# make help shows the targets. Every target does the set-up it needs; see docs/TROUBLESHOOTING.md where something fails.
#   DFP_PREFIX=FOLDER   where ROS 2, libtorch and the interfaces go (default .prefix)
SHELL := /bin/bash
export PATH := $(PATH):$(HOME)/.cargo/bin

# The product: the command line with training, the node and the simulated arm.
FEATURES := --features torch,ros
ENV := scripts/env

.PHONY: help setup build demo bench-node bench-physics soak train grasp-table test clean distclean
.DEFAULT_GOAL := help

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

setup: ## ROS 2, libtorch and the interfaces, where they are missing
	@scripts/setup

build: setup ## target/release/dfp, planner_node and sim_arm
	$(ENV) cargo build --release $(FEATURES)

demo: build ## pick a mug in simulation; TASK=reorient or shelf puts it down; SIM=mujoco has physics; OBJECT=mesh.obj SCALE=0.001
	@scripts/demo $(if $(SIM),--sim "$(SIM)") $(if $(TASK),--task "$(TASK)") $(if $(OBJECT),--object "$(OBJECT)") $(if $(SCALE),--scale "$(SCALE)")

bench-node: build ## acceptance, cancellation, idle load over DDS, and 20 picks executed; needs a quiet machine
	@$(ENV) python3 tests/ros/bench_node.py

soak: build ## 1,000 small goals; memory and processor time of the node must stay flat
	@$(ENV) python3 tests/ros/soak.py

train: build ## a grasp field from nothing, in under an hour and a half of two cores: out/grasp_field.safetensors; resumes
	@# A step's tensors are kept instead of being given back to the system.
	@GLIBC_TUNABLES=glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=4294967296 \
	  target/release/dfp train config/train.yaml --minutes 70 --folder out/train --out out/grasp_field.safetensors

grasp-table: build ## figures of the field's grasps by category, by MuJoCo too; ROWS='--row NAME:OPTIONS' adds models
	@scripts/grasp_table.py $(ROWS)

bench-physics: build ## random scenes end to end in MuJoCo: picked, held, placed; OPTIONS='--task pick --count 20'
	@$(ENV) python3 scripts/physics_loop.py $(OPTIONS)

test: setup ## formatting, lints, all tests; ends with each runner's summary
	@scripts/run_tests

clean: ## remove what was built; the set-up stays
	cargo clean
	rm -rf out

distclean: clean ## remove the set-up too
	rm -rf "$${DFP_PREFIX:-.prefix}"
