# Everything a developer or a first visitor runs. `make` alone says what there is.
# Programs get extra words from ARGS: make run ARGS="--http-port 8081".

.DEFAULT_GOAL := help
# Where Swift of our own is.
SWIFT := Package.swift Sources Tests Benchmarks/Package.swift Benchmarks/Codecs Benchmarks/Floor \
	Benchmarks/PingLoad Fuzzing/Package.swift Fuzzing/Targets
.PHONY: help run build device demo cluster test test-long test-tsan test-asan chaos fuzz bench soak image sbom k8s \
	test-k8s lint format clean reset

help:
	@scripts/help

run:
	@exec scripts/run $(ARGS)

build:
	@scripts/build coap-gateway
	@scripts/build mock-device

device:
	@scripts/build mock-device
	@exec .build/release/mock-device $(ARGS)

demo:
	@exec scripts/demo

cluster:
	@exec scripts/cluster

test:
	@exec scripts/test

test-long:
	@exec scripts/test-long

fuzz:
	@exec scripts/fuzz $(if $(SECONDS),--seconds $(SECONDS)) $(if $(TARGETS),--targets $(TARGETS))

test-tsan:
	@exec scripts/test-sanitized thread $(ARGS)

test-asan:
	@exec scripts/test-sanitized address $(ARGS)

chaos:
	@exec scripts/chaos $(ARGS)

bench:
	@exec scripts/bench $(ARGS)

soak:
	@MINUTES="$(MINUTES)" exec scripts/soak $(ARGS)

image:
	@exec scripts/image $(ARGS)

sbom:
	@exec scripts/sbom $(ARGS)

k8s:
	@exec scripts/k8s

test-k8s:
	@exec scripts/test-k8s

lint:
	@swift format lint --strict --recursive --parallel $(SWIFT)

format:
	@swift format --in-place --recursive --parallel $(SWIFT)

clean:
	@swift package clean

reset:
	@exec scripts/reset
