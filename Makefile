# `make run` serves the demo site, `make test` tests, `make install` installs; the rest is for those who
# change evserve.

CARGO ?= cargo
PYTHON ?= python3
PREFIX ?= /usr/local
BUILT = $${CARGO_TARGET_DIR:-target}/release
SHARE = $(DESTDIR)$(PREFIX)/share

.PHONY: run install uninstall test test-portable test-browser manual check fuzz bench bench-library lab

# Arguments go in ARGS: make run ARGS='--http :8080'
run:
	$(CARGO) run --release --locked -- --html ./html $(ARGS)

# Both programs if both are there, with man pages and completions, under PREFIX (and DESTDIR, for
# packages). root may have no Rust: `make install` as root takes what was built before.
install:
	if command -v $(CARGO) >/dev/null; then $(CARGO) build --release --locked; else test -x $(BUILT)/evserve; fi
	install -d $(DESTDIR)$(PREFIX)/bin $(SHARE)/man/man1 $(SHARE)/bash-completion/completions \
		$(SHARE)/zsh/site-functions $(SHARE)/fish/vendor_completions.d $(SHARE)/doc/evserve
	for name in evserve evclient; do \
		test -x $(BUILT)/$$name || continue; \
		install -m 755 $(BUILT)/$$name $(DESTDIR)$(PREFIX)/bin/ && \
		install -m 644 man/$$name.1 $(SHARE)/man/man1/ && \
		install -m 644 completions/$$name.bash $(SHARE)/bash-completion/completions/$$name && \
		install -m 644 completions/_$$name $(SHARE)/zsh/site-functions/ && \
		install -m 644 completions/$$name.fish $(SHARE)/fish/vendor_completions.d/ || exit 1; \
	done
	install -m 644 LICENSE-MIT LICENSE-APACHE $(SHARE)/doc/evserve/

uninstall:
	for name in evserve evclient; do \
		rm -f $(DESTDIR)$(PREFIX)/bin/$$name $(SHARE)/man/man1/$$name.1 \
			$(SHARE)/bash-completion/completions/$$name $(SHARE)/zsh/site-functions/_$$name \
			$(SHARE)/fish/vendor_completions.d/$$name.fish; \
	done
	rm -rf $(SHARE)/doc/evserve

# Many tests wait for a timer or a peer: more of them than there are cores run at once.
test:
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-4} $(CARGO) test --locked

# The portable twins of the Linux-only calls, in a target folder of their own.
test-portable:
	RUSTFLAGS='$(RUSTFLAGS) --cfg evserve_portable' CARGO_TARGET_DIR=target/portable RUST_TEST_THREADS=$${RUST_TEST_THREADS:-4} $(CARGO) test --locked

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
	for package in benches/request fuzz; do \
		CARGO_TARGET_DIR=target $(CARGO) clippy --locked --manifest-path $$package/Cargo.toml --all-targets -- -D warnings || exit 1; \
	done
	CARGO_TARGET_DIR=target $(CARGO) build --locked --manifest-path fuzz/Cargo.toml

# Drives one parser with what libFuzzer makes of its seeds: make fuzz TARGET=chunked SECONDS=600. The targets
# are those in fuzz/fuzz_targets. A stable compiler will do; cargo-fuzz works, too.
TARGET = head
SECONDS = 60
FUZZ_FLAGS = --cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares
HOST = $$(rustc -vV | sed -n 's/^host: //p')
fuzz:
	cd fuzz && RUSTFLAGS='$(FUZZ_FLAGS)' $(CARGO) build --locked --release --target $(HOST) --bin $(TARGET)
	mkdir -p fuzz/corpus/$(TARGET) fuzz/artifacts
	cd fuzz && target/$(HOST)/release/$(TARGET) -artifact_prefix=artifacts/ -max_total_time=$(SECONDS) \
		-timeout=5 -max_len=4096 corpus/$(TARGET) seeds/$(TARGET)

# What a request costs without sockets, then the load generators that are installed against the
# release build on the loopback.
bench:
	$(CARGO) build --release --locked
	cd benches/request && $(CARGO) bench --locked -- --noplot --quiet
	sh benches/load.sh

# What the library's doors cost beside cp(1); takes some GiB of disk.
bench-library:
	$(CARGO) build --release --locked
	python3 benches/library.py

# Races the ways to serve many clients on this machine, and draws the result: some four minutes. gevent is
# raced, too, if this Python has it: make lab PYTHON=venv/bin/python ARGS='--connections 1,100'
lab:
	$(CARGO) build --release --locked --bin evserve --example load
	RUSTFLAGS='$(RUSTFLAGS) --cfg mio_unsupported_force_poll_poll' CARGO_TARGET_DIR=target/poll \
		$(CARGO) build --release --locked --no-default-features --bin evserve
	$(PYTHON) benches/lab/race.py --evserve $(BUILT)/evserve --load $(BUILT)/examples/load \
		--evserve-poll target/poll/release/evserve $(ARGS)
