# Sluice: `make` lists the targets. A Swift 6.3 toolchain must be there; Debian packages that are
# missing are installed by the first target that builds.

SWIFT ?= swift
JOBS ?= 1
# Without debug information a build takes less, and what is shipped is stripped of it. For a debugger:
# make DEBUG_INFORMATION=dwarf …
DEBUG_INFORMATION ?= none
BARE := -debug-info-format $(DEBUG_INFORMATION)
RELEASE := -c release --static-swift-stdlib $(BARE)
# SwiftPM finds tests by an index, which needs no part of the system's modules.
INDEX := -Xswiftc -index-ignore-system-modules
DEBUG := $(BARE) $(INDEX)
PACKAGES := libsqlite3-dev libzstd-dev libjansson-dev libssl-dev libcurl4 libmicrohttpd12 sqlite3 zstd gcc libc6-dev \
  python3 python3-venv
SOURCES := Package.swift Sources Tests Benchmarks

SEED ?=
ROUNDS ?= 2000

.PHONY: help run test sanitize simulate nfs crash fuzz differential bench bench-django stores large build dist \
  extension hosts stress wheel \
  environment python django site lint format clean deps

help:
	@echo 'make run           the main job: appliers, workers, readers, one applier killed, all verified'
	@echo 'make test          all tests; COVERAGE=1: and the share of lines that they run, by module'
	@echo 'make sanitize      the tests under the address and the thread sanitizer; SHORT=1: some, under the former'
	@echo 'make simulate      whole systems in simulated time: SEEDS=20000; SEED=7 KIND=system replays one'
	@echo 'make nfs           the command on real NFSv4.1 clients, hosts and servers failing (as root)'
	@echo 'make crash         processes killed at named points, power failing: ROUNDS=2000, SEED='
	@echo 'make fuzz          every decoder against a fuzzer: SECONDS=60 each, JOBS=1, TARGETS="beacon mark"'
	@echo 'make differential  random SQL through the queue and through SQLite alone, compared'
	@echo 'make stores        1,000 stores on four processes: what they take at rest, and one killed'
	@echo 'make large         a table of 2 GiB, indexed and written anew by a batch each: the memory that takes'
	@echo 'make bench         speed, as ratios to bare files and plain SQLite'
	@echo 'make bench-django  a Django site, against the lock in DynamoDB around each write'
	@echo 'make build         the command, for release: .build/release/sluice'
	@echo 'make dist          a tarball, and the zip of functions for AWS Lambda: .build/dist'
	@echo 'make extension     the SQLite extension, which C programs link too: .build/release/libsluice.so'
	@echo 'make hosts         it in sqlite3, Python, Perl, Ruby and PHP (installs what is missing of them)'
	@echo 'make stress        transactions by many processes, killed and stopped: MINUTES=10, SEED=; NFS=1 on two hosts'
	@echo 'make wheel         the Python package, with both inside: python/dist; make python tests it'
	@echo 'make django        Django'"'"'s own tests on files and on stores, compared: ARGS="--parallel 2 queries"'
	@echo 'make site          the example site: two processes, an applier killed; and without any applier'
	@echo 'make lint          the format, checked; make format sets it right'
	@echo 'make clean         removes what was built'

run: deps
	$(SWIFT) build $(RELEASE) --product sluice
	$(SWIFT) build $(RELEASE) --product sluice-demo
	.build/release/sluice-demo $(ARGS)

# What stands for AWS in the tests of the lease and of infra/, in an environment of its own.
PEERS := .build/venv
REQUIREMENTS := Tests/ElectionTests/Peers/requirements.txt Tests/Infrastructure/requirements.txt
$(PEERS)/ready: $(REQUIREMENTS) | deps
	rm -rf $(PEERS)
	python3 -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check $(addprefix -r ,$(REQUIREMENTS))
	touch $@

# Tests are run by several processes at a time, each of which takes a line of tests (by the first letter of its
# suites where a target is large; together they are all tests): most of them wait, and Swift
# Testing begins only as many as there are processors. What starts processes, kills them and has leases comes after
# all else and is run one by one in each of two: beside everything it would measure that; so is what needs the
# same batches in one commit each time. COVERAGE=1 prints the share of lines that are run, by module.
COVERED := $(if $(COVERAGE),--enable-code-coverage)
TESTED := $(if $(COVERAGE),LLVM_PROFILE_FILE='$(CURDIR)/.build/coverage/%p.profraw') Tests/run
# Nothing is built, so they need not wait for each other at SwiftPM's lock.
TESTS := $(SWIFT) test --skip-build --ignore-lock
# infra/ deployed into two peers, its users' rights, and the functions that Lambda runs.
INFRASTRUCTURE := $(PEERS)/bin/python -m unittest discover --start-directory Tests/Infrastructure
test: deps $(PEERS)/ready
	$(SWIFT) build --build-tests $(DEBUG) $(COVERED)
	$(if $(COVERAGE),@rm -rf .build/coverage)
ifdef ARGS
	$(TESTED) $(TESTS) --parallel $(ARGS)
else
	SLUICE_TEST_PATIENCE=2 $(TESTED) Tests/shards 4 $(TESTS) --parallel <Tests/side-by-side
	SLUICE_TEST_PATIENCE=2 $(TESTED) Tests/shards 2 $(TESTS) --no-parallel <Tests/by-themselves
	$(INFRASTRUCTURE)
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
SANITIZED := --skip takesLinearTime --skip LargeBatchTests --skip DelayedWriteTests --skip SluiceCrashTests --skip SluiceElectionTests \
  --skip '$(HURRIED)|$(SCHEDULES)'
# SHORT=1 leaves out the command's texts, which take minutes there and share no memory, most of the applier's
# tests and the schedules, what runs by itself, and the thread sanitizer. It builds no other tests (see Package.swift).
LIBRARY := $(if $(SHORT),--filter 'Sluice(SQLite|Journal|Reader|Writer)Tests|IntakeTests|ExecutionTests|HostileSizesTests|CompactionTests|TermTests')
ADDRESS := $(if $(SHORT),SLUICE_TESTS=SQLite+Journal+Reader+Writer+Applier)
# A module at once, which takes less from nothing; by threads, for with one there is no index of each file. A report
# names lines.
WHOLE := $(INDEX) -Xswiftc -wmo -Xswiftc -num-threads -Xswiftc 2 -Xswiftc -gline-tables-only
sanitize: export SWIFT_BACKTRACE := enable=no
sanitize: export ASAN_OPTIONS := detect_leaks=0
sanitize: export TSAN_OPTIONS := exitcode=66
sanitize: export SLUICE_TEST_PATIENCE := 8
sanitize: deps
	$(ADDRESS) $(SWIFT) build --build-tests $(WHOLE) --sanitize=address --scratch-path .build/address
	$(ADDRESS) Tests/run $(SWIFT) test --skip-build --sanitize=address --scratch-path .build/address $(SANITIZED) $(LIBRARY)
ifndef SHORT
	Tests/run $(SWIFT) test --skip-build --sanitize=address --scratch-path .build/address \
	  --filter '$(SCHEDULES)'
	Tests/run $(SWIFT) test --skip-build --sanitize=address --scratch-path .build/address \
	  --no-parallel --filter '$(HURRIED)'
	$(SWIFT) build --build-tests $(WHOLE) --sanitize=thread --scratch-path .build/thread
	Tests/run $(SWIFT) test --skip-build --sanitize=thread --scratch-path .build/thread $(SANITIZED)
	Tests/run $(SWIFT) test --skip-build --sanitize=thread --scratch-path .build/thread \
	  --no-parallel --filter '$(HURRIED)'
endif

nfs: deps
	$(SWIFT) build $(RELEASE) --product sluice
	$(SWIFT) build $(RELEASE) --product sluice-nfs-probe
	Tests/nfs/run.sh $(ARGS)

fuzz: deps
	SWIFT='$(SWIFT)' JOBS='$(JOBS)' Tests/Fuzz/run $(or $(SECONDS),60) $(TARGETS)

differential: deps
	$(SWIFT) build $(RELEASE) --product sluice-differential
	.build/release/sluice-differential $(if $(SEED),--seed $(SEED) --seeds 1) $(if $(SECONDS),--seconds $(SECONDS) --seeds 1000000) $(ARGS)

stores: deps $(if $(findstring dynamodb,$(ARGS)),$(PEERS)/ready)
	$(SWIFT) build $(RELEASE) --product sluice
	Benchmarks/Stores/measure.py .build/release/sluice $(ARGS)

# The command for release, held by a test. The database and its log, 8 GB together, lie under TMPDIR meanwhile.
large: deps
	$(SWIFT) build $(RELEASE) --product sluice
	$(SWIFT) build --build-tests $(DEBUG)
	SLUICE_TEST_MEGABYTES=$(or $(MEGABYTES),2048) SLUICE_TEST_PROGRAM=$(CURDIR)/.build/release/sluice \
	  $(SWIFT) test --skip-build --filter 'LargeBatchTests/index'

# Litestream, for the rows that measure beside it, in an environment of its own.
LITESTREAM := .build/litestream
$(LITESTREAM)/ready: Benchmarks/requirements.txt | deps
	rm -rf $(LITESTREAM)
	python3 -m venv $(LITESTREAM)
	$(LITESTREAM)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

bench: deps $(LITESTREAM)/ready
	$(SWIFT) build $(RELEASE) --product sluice-bench
	$(SWIFT) build $(RELEASE) --product sluice
	$(SWIFT) build $(RELEASE) --product sluice-nfs-probe
	LITESTREAM=$(CURDIR)/$(LITESTREAM)/bin/litestream .build/release/sluice-bench $(ARGS)

# A site's writes against those with django_sqlite_efs: on the local disk, and on two hosts over NFS.
bench-django: wheel $(PEERS)/ready
	Benchmarks/Django/run $(ARGS)

# A build of its own, optimized and with the safety checks to leave out. One strand runs at a time, so
# exclusive access is checked by the other builds.
# SHORT=1 looks for each planted fault in 80 seeds only, which find most of them.
SIMULATION := .build/simulation
SEEDS ?= 20000
simulate: deps
	$(SWIFT) build -c release $(BARE) --scratch-path $(SIMULATION) -Xswiftc -DSLUICE_SIMULATION \
	  -Xswiftc -enforce-exclusivity=unchecked --product sluice-simulate
ifdef SEED
	$(SIMULATION)/release/sluice-simulate replay $(SEED) $(if $(KIND),--kind $(KIND)) $(if $(WITHOUT),--without $(WITHOUT))
else
	$(SIMULATION)/release/sluice-simulate mutations $(if $(SHORT),--most 80)
	$(SIMULATION)/release/sluice-simulate sweep --seeds $(SEEDS)
endif

crash: deps
	$(SWIFT) build $(RELEASE) --product sluice-crash
	.build/release/sluice-crash --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

build: deps
	$(SWIFT) build $(RELEASE) --product sluice

# With the libraries in it, so that it runs wherever glibc 2.34 is. The zip is tried at the end, where the tests'
# environment is there.
DIST := .build/dist
STATIC := .build/static
dist: extension
	rm -rf $(STATIC) && mkdir -p $(STATIC)
	for library in sqlite3 zstd jansson; do \
	  ln -s "$$(gcc -print-file-name=lib$$library.a)" $(STATIC) || exit 1; \
	done
	$(SWIFT) build $(RELEASE) --product sluice -Xlinker -L$(CURDIR)/$(STATIC)
	python3 infra/dist.py .build/release/sluice $(DIST) $(EXTENSION) $(PRELOAD)
	$(if $(wildcard $(PEERS)/ready),cd Tests/Infrastructure && \
	  SLUICE=$(CURDIR)/.build/release/sluice SLUICE_FUNCTIONS=$(CURDIR)/$(DIST)/sluice-lambda.zip \
	  $(CURDIR)/$(PEERS)/bin/python -m unittest test_functions)

# One file that links no SQLite, with Swift's runtime inside, and what Debian has as archives. It shows its entry
# points and nothing else, each with a version. `-z defs`: whatever of SQLite is called by name, and not through the
# host's table of functions, fails here. Beside it are the header for C and what programs preload that load nothing.
EXTENSION := .build/release/libsluice.so
PRELOAD := .build/release/libsluice-preload.so
ARCHIVES := .build/archives
extension: deps $(ARCHIVES)/ready
	$(SWIFT) build $(RELEASE) --product SluiceExtension
	@$(MAKE) --no-print-directory $(EXTENSION)

# Linked again only where a build has changed what it is made of.
$(EXTENSION): .build/release/libSluiceExtension.a Sources/CSluice/libsluice.map Sources/CSluice/sluice.h \
    Sources/Preload/preload.c $(ARCHIVES)/ready
	$(SWIFT)c -emit-library -static-stdlib -use-ld=lld -o $(EXTENSION) \
	  .build/release/SluiceExtension.build/*.swift.o .build/release/libSluiceExtension.a \
	  -L$(ARCHIVES) -lzstd -ljansson -l:libcrypto.a $(ARCHIVES)/stand-ins.o \
	  -Xlinker --version-script=Sources/CSluice/libsluice.map -Xlinker -soname=libsluice.so \
	  -Xlinker --gc-sections -Xlinker -z -Xlinker defs -Xlinker -s
	gcc -std=c11 -O2 -fPIC -shared -s -fvisibility=hidden -Wall -Wextra -Werror -Wl,-z,defs \
	  -Wl,-soname,libsluice-preload.so -o $(PRELOAD) Sources/Preload/preload.c
	cp Sources/CSluice/sluice.h .build/release/
	touch $@

# Debian compiles archives for executables. In a library its jansson does not reach C's `stdin`, which only
# `json_loadf` looks at, and nobody calls that: it gets one of its own.
define STAND_INS
__attribute__((visibility("hidden"))) void *jansson_stdin;
endef
export STAND_INS
$(ARCHIVES)/ready: Makefile | deps
	mkdir -p $(ARCHIVES)
	for library in sqlite3 zstd; do \
	  ln -sf "$$(gcc -print-file-name=lib$$library.a)" $(ARCHIVES)/; \
	done
	objcopy --redefine-sym stdin=jansson_stdin "$$(gcc -print-file-name=libjansson.a)" \
	  $(ARCHIVES)/libjansson.a
	echo "$$STAND_INS" | gcc -x c -O2 -fno-math-errno -fPIC -c -o $(ARCHIVES)/stand-ins.o -
	touch $@

hosts: extension
	$(SWIFT) build $(RELEASE) --product sluice
	Tests/Hosts/run $(EXTENSION) .build/release/sluice $(ARGS)

# Read-modify-write transactions through three SQLite libraries, with kills and pauses; NFS=1: on two hosts over NFS.
MINUTES ?= 1
stress: extension
	$(SWIFT) build $(RELEASE) --product sluice
	Tests/Stress/run $(EXTENSION) .build/release/sluice --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(ARGS)

# The command in the package needs no library of its host but C's.
NATIVE := python/src/sluice/native
WHEEL := python/dist/ready
PACKAGED = $(shell find python/src python/pyproject.toml python/setup.py python/README.md -type f \
  -not -path '$(NATIVE)/*' -not -name '*.pyc' -not -path '*.egg-info/*')
wheel: extension
	$(SWIFT) build $(RELEASE) --product sluice -Xlinker -L$(CURDIR)/$(ARCHIVES) \
	  -Xlinker $(CURDIR)/$(ARCHIVES)/stand-ins.o
	@$(MAKE) --no-print-directory $(WHEEL)

# Made again only where something in it has changed; so is the environment that it is installed in.
$(WHEEL): $(EXTENSION) .build/release/sluice $(PACKAGED)
	rm -rf python/dist python/build $(NATIVE)
	mkdir -p $(NATIVE)
	cp $(EXTENSION) $(NATIVE)/
	strip -o $(NATIVE)/sluice .build/release/sluice
	python3 -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir python/dist ./python
	touch $@

# The package as users get it: from the wheel, in an environment of its own. DJANGO=4.2 takes that one in place of the
# newest, PYTHON=python3.12 another Python.
PYTHON ?= python3
ENVIRONMENT := .build/environment-$(notdir $(PYTHON))$(if $(DJANGO),-django-$(DJANGO))
environment: wheel
	@$(MAKE) --no-print-directory $(ENVIRONMENT)/ready

$(ENVIRONMENT)/ready: $(WHEEL) python/tests/requirements.txt
	rm -rf $(ENVIRONMENT)
	$(PYTHON) -m venv $(ENVIRONMENT)
	$(ENVIRONMENT)/bin/python -m pip install --quiet --disable-pip-version-check \
	  python/dist/*.whl -r python/tests/requirements.txt $(if $(DJANGO),'Django~=$(DJANGO).0')
	touch $@

python: environment
	$(ENVIRONMENT)/bin/python -m mypy --config-file python/pyproject.toml python/src python/tests
	cd python/tests && ../../$(ENVIRONMENT)/bin/python -B -m unittest \
	  test_package test_django test_django_store test_django_commands test_django_queue $(ARGS)

# Django's own tests, once with its backend on files and once with the package's on stores, compared one by one.
# All apps unless ARGS name some; ARGS='--kill 10' kills an applier every ten seconds.
django: environment
	$(ENVIRONMENT)/bin/python -m pip install --quiet --disable-pip-version-check \
	  -r python/tests/django_suite/requirements.txt
	cd python/tests && ../../$(ENVIRONMENT)/bin/python -B -m django_suite --work ../../.build/django $(ARGS)

# The example site: its tests, and itself, with appliers of which one is killed and without any.
site: environment
	cd examples/django && ../../$(ENVIRONMENT)/bin/python -B manage.py test
	$(ENVIRONMENT)/bin/python -B examples/django/run.py $(ARGS)
	$(ENVIRONMENT)/bin/python -B examples/django/run.py --assist $(ARGS)
	$(ENVIRONMENT)/bin/python -B examples/django/run.py --lambda $(ARGS)

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
