# `make run` serves the demo site, `make test` tests; the rest is for those who change evserve.

CARGO ?= cargo

.PHONY: run test test-portable test-browser manual check bench bench-library

# Arguments go in ARGS: make run ARGS='--http :8080'
run:
	$(CARGO) run --release --locked -- --html ./html $(ARGS)

test:
	$(CARGO) test --locked

# The portable twins of the Linux-only calls, in a target folder of their own.
test-portable:
	RUSTFLAGS='$(RUSTFLAGS) --cfg evserve_portable' CARGO_TARGET_DIR=target/portable $(CARGO) test --locked

# The pages in headless Chromium (Debian: apt-get install chromium); what they look like goes to
# target/screenshots.
test-browser:
	$(CARGO) test --locked --test browser

# Man pages and completions, anew from the options and man/*.in.
manual:
	EVSERVE_WRITE=1 $(CARGO) test --locked --test suite manual_is_in_step

# Format, lints, documentation, and the rules that tests/suite/tidy.rs holds.
check:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTFLAGS='$(RUSTFLAGS) --cfg evserve_portable' CARGO_TARGET_DIR=target/portable \
		$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps --document-private-items
	$(CARGO) test --locked --test suite tidy

# What a request costs without sockets, then the load generators that are installed against the
# release build on the loopback.
bench:
	$(CARGO) build --release --locked
	$(CARGO) bench --locked --bench request -- --noplot --quiet
	sh benches/load.sh

# What the library's doors cost beside cp(1); takes some GiB of disk.
bench-library:
	$(CARGO) build --release --locked
	python3 benches/library.py
