# Sluice: `make` lists the targets. A Swift 6.3 toolchain must be there; Debian packages that are
# missing are installed by the first target that builds.

SWIFT ?= swift
JOBS ?= 1
RELEASE := -c release --static-swift-stdlib
PACKAGES := libsqlite3-dev libzstd-dev libjansson-dev libssl-dev sqlite3 gcc libc6-dev \
  $(if $(COVERAGE),$(shell command -v python3 >/dev/null || echo python3))
SOURCES := Package.swift Sources Tests Benchmarks

SEED ?=
ROUNDS ?= 2000

.PHONY: help run test sanitize simulate nfs crash fuzz differential bench build lint format clean deps

help:
	@echo 'make run           the main job: appliers, workers, readers, one applier killed, all verified'
	@echo 'make test          all tests; COVERAGE=1: and the share of lines that they run, by module'
	@echo 'make sanitize      the tests under the address and the thread sanitizer; SHORT=1: half of them'
	@echo 'make simulate      whole systems in simulated time: SEEDS=20000; SEED=7 KIND=system replays one'
	@echo 'make nfs           the command on real NFSv4.1 clients, hosts and servers failing (as root)'
	@echo 'make crash         processes killed at named points, power failing: ROUNDS=2000, SEED='
	@echo 'make fuzz          every decoder against a fuzzer: SECONDS=60 each, JOBS=1, TARGETS="beacon mark"'
	@echo 'make differential  random SQL through the queue and through SQLite alone, compared'
	@echo 'make bench         speed, as ratios to bare files and plain SQLite'
	@echo 'make build         the command, for release: .build/release/sluice'
	@echo 'make lint          the format, checked; make format sets it right'
	@echo 'make clean         removes what was built'

run: deps
	$(SWIFT) build $(RELEASE) --product sluice
	$(SWIFT) build $(RELEASE) --product sluice-demo
	.build/release/sluice-demo $(ARGS)

# What starts processes, kills them and has leases runs by itself: beside everything else on two processors it
# would measure them. COVERAGE=1 prints the share of lines that are run, by module.
COVERED := $(if $(COVERAGE),--enable-code-coverage)
PROCESSES := SluiceProcessTests|SluiceCrashTests
TESTED := $(if $(COVERAGE),LLVM_PROFILE_FILE='$(CURDIR)/.build/coverage/%p.profraw') \
  Tests/run $(SWIFT) test --skip-build
test: deps
	$(SWIFT) build --build-tests $(COVERED)
	$(if $(COVERAGE),@rm -rf .build/coverage)
ifdef ARGS
	$(TESTED) --parallel $(ARGS)
else
	$(TESTED) --parallel --skip '$(PROCESSES)'
	$(TESTED) --no-parallel --filter '$(PROCESSES)'
endif
	$(if $(COVERAGE),@SWIFT='$(SWIFT)' Tests/coverage .build)

# The tests under the address and the thread sanitizer, gated on the exit status (a report does not
# fail a test), each in a build of its own. Left out is what measures time or memory, and what fills
# full-text indexes for minutes there. What kills or stops processes, or has leases and waits for code at
# full speed, runs by itself and with more patience. The simulated schedules keep a processor busy for
# minutes, and run when nobody else waits for it; they have one thread at a time, so the thread sanitizer
# does without them.
SCHEDULES := SluiceSimulatorTests|LogHandshakeTests|JournalHandshakeTests
HURRIED := ApplierProcessTests|WorkerTests|WriterProcessTests|AccessTests|FailingDeviceTests|LeftoverTests|SlowApplierTests|ClockComparisonTests
SANITIZED := --skip takesLinearTime --skip LargeBatchTests --skip DelayedWriteTests --skip SluiceCrashTests \
  --skip '$(HURRIED)|$(SCHEDULES)'
# SHORT=1 leaves out the command's texts, which take minutes there and share no memory, from the thread
# sanitizer what runs on one thread, and of what runs by itself all but writers and workers under the latter.
LIBRARY := $(if $(SHORT),--filter 'Sluice(SQLite|Journal|Reader|Writer|Applier)Tests')
THREADED := $(if $(SHORT),--filter 'Sluice(Reader|Writer)Tests')
ALONE := $(if $(SHORT),WorkerTests|WriterProcessTests,$(HURRIED))
sanitize: export SWIFT_BACKTRACE := enable=no
sanitize: export ASAN_OPTIONS := detect_leaks=0
sanitize: export TSAN_OPTIONS := exitcode=66
sanitize: export SLUICE_TEST_PATIENCE := 8
sanitize: deps
	$(SWIFT) build --build-tests --sanitize=address --scratch-path .build/address
	Tests/run $(SWIFT) test --skip-build --sanitize=address --scratch-path .build/address $(SANITIZED) $(LIBRARY)
	Tests/run $(SWIFT) test --skip-build --sanitize=address --scratch-path .build/address \
	  --filter '$(SCHEDULES)'
	$(if $(SHORT),,Tests/run $(SWIFT) test --skip-build --sanitize=address --scratch-path .build/address \
	  --no-parallel --filter '$(HURRIED)')
	$(SWIFT) build --build-tests --sanitize=thread --scratch-path .build/thread
	Tests/run $(SWIFT) test --skip-build --sanitize=thread --scratch-path .build/thread $(SANITIZED) $(THREADED)
	Tests/run $(SWIFT) test --skip-build --sanitize=thread --scratch-path .build/thread \
	  --no-parallel --filter '$(ALONE)'

nfs: deps
	$(SWIFT) build $(RELEASE) --product sluice
	$(SWIFT) build $(RELEASE) --product sluice-nfs-probe
	Tests/nfs/run.sh $(ARGS)

fuzz: deps
	SWIFT='$(SWIFT)' JOBS='$(JOBS)' Tests/Fuzz/run $(or $(SECONDS),60) $(TARGETS)

differential: deps
	$(SWIFT) build $(RELEASE) --product sluice-differential
	.build/release/sluice-differential $(if $(SEED),--seed $(SEED) --seeds 1) $(if $(SECONDS),--seconds $(SECONDS) --seeds 1000000) $(ARGS)

bench: deps
	$(SWIFT) build $(RELEASE) --product sluice-bench
	.build/release/sluice-bench $(ARGS)

# A build of its own, optimized and with the safety checks to leave out. One strand runs at a time, so
# exclusive access is checked by the other builds.
SIMULATION := .build/simulation
SEEDS ?= 20000
simulate: deps
	$(SWIFT) build -c release --scratch-path $(SIMULATION) -Xswiftc -DSLUICE_SIMULATION \
	  -Xswiftc -enforce-exclusivity=unchecked --product sluice-simulate
ifdef SEED
	$(SIMULATION)/release/sluice-simulate replay $(SEED) $(if $(KIND),--kind $(KIND)) $(if $(WITHOUT),--without $(WITHOUT))
else
	$(SIMULATION)/release/sluice-simulate mutations
	$(SIMULATION)/release/sluice-simulate sweep --seeds $(SEEDS)
endif

crash: deps
	$(SWIFT) build $(RELEASE) --product sluice-crash
	.build/release/sluice-crash --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

build: deps
	$(SWIFT) build $(RELEASE) --product sluice

lint: deps
	$(SWIFT) format lint --strict --parallel --recursive $(SOURCES)

format: deps
	$(SWIFT) format --in-place --parallel --recursive $(SOURCES)

clean:
	rm -rf .build

# Installs what is missing, and nothing when all is there.
deps:
	@command -v $(SWIFT) >/dev/null || { \
	  echo 'There is no `$(SWIFT)` in PATH: install a Swift 6.3 toolchain (https://www.swift.org/install/linux)'; \
	  echo 'and put its usr/bin into PATH, or say where it is: make SWIFT=/path/to/usr/bin/swift'; \
	  exit 1; } >&2
	@missing=; \
	for package in $(PACKAGES); do \
	  case $$(dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null) in \
	    installed) ;; \
	    *) missing="$$missing $$package" ;; \
	  esac; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	as_root=; \
	if ! command -v apt-get >/dev/null; then \
	  echo "This is no Debian: install what it calls$$missing here, then: make PACKAGES= …" >&2; exit 1; \
	fi; \
	if [ "$$(id -u)" != 0 ]; then \
	  as_root=sudo; \
	  command -v sudo >/dev/null || { \
	    echo "As root: apt-get install$$missing" >&2; exit 1; }; \
	fi; \
	echo "Installing$$missing"; \
	$$as_root apt-get update -qq && \
	$$as_root env DEBIAN_FRONTEND=noninteractive \
	  apt-get install -y -qq --no-install-recommends $$missing
