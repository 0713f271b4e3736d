# Plain recipes; each is one command that can be run by hand.
# The build of the places of src/fault. Its programs have a folder of their own, so that the ordinary ones stay what they
# are. It shares the compiled dependencies with them (cargo before 1.91 compiles them twice).
PLANTED := --locked --features planted-faults --target-dir target/planted
kills points: export CARGO_BUILD_BUILD_DIR := $(CURDIR)/target
.PHONY: help demo test sim sim-long limits soak kills points planted fuzz model linearizability check fmt clippy doc site deny bench recording image clean

help:
	@echo "make demo    build, start a server, write, delete, compact, check"
	@echo "make test    all tests, then the clients of Milvus against a server"
	@echo "make sim     the seeded simulation, 1,000 lives; SEED=… replays one life"
	@echo "make sim-long  the same for MINUTES=… (60), from the seed FIRST=… on"
	@echo "make limits  the server in cgroups with little memory; as root"
	@echo "make soak    200 clients for ten minutes against a server in a cgroup of 1 GB; as root"
	@echo "make kills   500 rounds of many clients, each ended by a kill, in half of them between two steps of a change"
	@echo "make points  a kill at every place between two steps of a change; POINT=… tries one, PLACES=… some"
	@echo "make planted deliberate breakages, one after the other, each of which the tests have to catch"
	@echo "make model   claim, commit, collect and fence, every order of steps"
	@echo "make linearizability  histories of concurrent clients, checked by porcupine; SECONDS=300 CLIENTS=8"
	@echo "make fuzz    every fuzz target with coverage, TIME seconds each (60); needs a nightly compiler"
	@echo "make check   before a commit: format, spelling, dependencies, lints, documentation"
	@echo "make site    the documentation as a site, in target/site"
	@echo "make deny    the dependencies alone, known weaknesses included; needs the network"
	@echo "make bench   the figures of docs/benchmarks.md, beside the stock server"
	@echo "make recording  the recorded answers beside the real Milvus 2.3.5 again; after a change of their scenarios"
	@echo "make image   container image (buildah, podman or docker)"

demo:
	tools/demo.sh

test:
	tools/test.sh

sim:
	SEEDS=$${SEEDS:-1000} cargo test --locked --test simulation promises_hold_in_every_life -- --exact --nocapture

# Seeds from the time of the day on, so that each run lives other lives.
sim-long:
	FIRST=$${FIRST:-$$(date +%s)} MINUTES=$${MINUTES:-60} \
		cargo test --locked --test simulation promises_hold_in_every_life -- --exact --nocapture

limits:
	cargo test --locked --test crash -- --ignored --nocapture --test-threads 1 cgroup

# With the release build: a debug build is several times slower and larger.
soak:
	cargo build --locked --release --bin datacoord
	LOAD_SERVER=target/release/datacoord LOAD_CLIENTS=200 LOAD_SECONDS=600 LOAD_KILLS=0 LOAD_MEMORY_MIB=1024 \
		cargo test --locked --test crash many_clients -- --nocapture

kills:
	cargo build $(PLANTED) --release --bin datacoord
	LOAD_SERVER=target/planted/release/datacoord LOAD_CLIENTS=32 LOAD_CALLS=40 LOAD_KILLS=500 \
		cargo test $(PLANTED) --test crash many_clients -- --nocapture

points:
	cargo test $(PLANTED) --test crash a_kill_at_every_place -- --nocapture

planted:
	tools/planted.py --table docs/reliability.md

model:
	cargo test --locked --manifest-path tests/model/Cargo.toml --target-dir target/model -- --nocapture

linearizability:
	cargo build --locked --bin datacoord
	cd tests/e2e/go/linearizability && go build -o $(CURDIR)/target/linearizability .
	target/linearizability -binary target/debug/datacoord -seconds $(or $(SECONDS),300) -clients $(or $(CLIENTS),8)

fuzz:
	tools/fuzz.sh

check:
	tools/check.sh

fmt:
	cargo fmt --check

clippy:
	cargo clippy --locked --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

site:
	checkers=$$(tools/checkers.sh) && "$$checkers/zensical" build --clean --strict

# The list of known weaknesses is a git repository, which CI may not reach: so it is no part of `make check`.
deny:
	checkers=$$(tools/checkers.sh) && "$$checkers/cargo-deny" --locked check

bench:
	tools/bench.py --stock

recording:
	cargo build --locked --bins
	tests/e2e/run.py --binary target/debug/datacoord --only recorder

image:
	tools/image.sh

clean:
	cargo clean
	rm -rf data .envs .cache
