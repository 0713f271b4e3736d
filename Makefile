# Plain recipes; each is one command that can be run by hand.
.PHONY: help demo test sim limits check fmt clippy doc bench image clean

help:
	@echo "make demo    build, start a server, write, delete, compact, check"
	@echo "make test    all tests, then the clients of Milvus against a server"
	@echo "make sim     the seeded simulation; SEED=… replays one life"
	@echo "make limits  the server in cgroups with little memory; as root"
	@echo "make check   what must hold before a commit: format, lints, documentation"
	@echo "make bench   the figures of docs/benchmarks.md, beside the stock server"
	@echo "make image   container image (buildah, podman or docker)"

demo:
	tools/demo.sh

test:
	tools/test.sh

sim:
	cargo test --locked --test simulation -- --nocapture

limits:
	cargo test --locked --test crash -- --ignored --nocapture --test-threads 1 cgroup

check: fmt clippy doc

fmt:
	cargo fmt --check

clippy:
	cargo clippy --locked --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

bench:
	tools/bench.py --stock

image:
	tools/image.sh

clean:
	cargo clean
	rm -rf data .envs
