# `make help` lists the targets.

CARGO ?= cargo
PYTHON ?= python3
PREFIX ?= /usr/local
BUILT = $${CARGO_TARGET_DIR:-target}/release
SHARE = $(DESTDIR)$(PREFIX)/share

.PHONY: help run install uninstall test test-portable test-browser manual check fuzz bench bench-library bench-tls lab

help: ## list the targets
	@awk -F ': ## ' '/^[a-z-]+: ## / { printf "%-15s %s\n", $$1, $$2 }' Makefile

# ARGS holds the arguments: make run ARGS='--http :8080'
run: ## build evserve and serve the demo site
	$(CARGO) run --release --locked -- --html ./html $(ARGS)

# Installs the programs with man pages and completions under PREFIX (and DESTDIR, for packages). Without
# cargo, as is common for root, `make install` installs the existing build.
install: ## install programs, man pages and completions under PREFIX
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

uninstall: ## remove the installed files
	for name in evserve evclient; do \
		rm -f $(DESTDIR)$(PREFIX)/bin/$$name $(SHARE)/man/man1/$$name.1 \
			$(SHARE)/bash-completion/completions/$$name $(SHARE)/zsh/site-functions/_$$name \
			$(SHARE)/fish/vendor_completions.d/$$name.fish; \
	done
	rm -rf $(SHARE)/doc/evserve

# Many tests wait for a timer or a peer, so more tests than cores may run at once.
test: ## run the tests
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-4} $(CARGO) test --locked

# Tests the portable variants of the Linux-only calls, in a separate target folder.
test-portable: ## test the portable twins of the Linux-only calls
	RUSTFLAGS='$(RUSTFLAGS) --cfg evserve_portable' CARGO_TARGET_DIR=target/portable RUST_TEST_THREADS=$${RUST_TEST_THREADS:-4} $(CARGO) test --locked

# Tests the pages in headless Chromium (Debian: apt-get install chromium), and saves screenshots in
# target/screenshots.
test-browser: ## test the pages in headless Chromium
	$(CARGO) test --locked --test browser

# Regenerates the man pages and completions from the options and man/*.in.
manual: ## regenerate man pages, completions and docs/options.md
	EVSERVE_WRITE=1 $(CARGO) test --locked --test suite manual_is_in_step

# Checks the format, the lints, the documentation, and the rules in tests/suite/tidy/.
check: ## check format, lints, documentation and structure
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets --test browser -- -D warnings
	RUSTFLAGS='$(RUSTFLAGS) --cfg evserve_portable' CARGO_TARGET_DIR=target/portable \
		$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps --document-private-items
	$(CARGO) test --locked --test suite tidy
	for package in benches/request fuzz; do \
		CARGO_TARGET_DIR=target $(CARGO) clippy --locked --manifest-path $$package/Cargo.toml --all-targets -- -D warnings || exit 1; \
	done
	CARGO_TARGET_DIR=target $(CARGO) build --locked --manifest-path fuzz/Cargo.toml

# Fuzzes one parser with libFuzzer, starting from its seeds: make fuzz TARGET=chunked SECONDS=600. The targets
# are in fuzz/fuzz_targets. A stable compiler is enough; cargo-fuzz works, too.
TARGET = head
SECONDS = 60
FUZZ_FLAGS = --cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares
HOST = $$(rustc -vV | sed -n 's/^host: //p')
fuzz: ## fuzz a parser: make fuzz TARGET=chunked SECONDS=600
	cd fuzz && RUSTFLAGS='$(FUZZ_FLAGS)' $(CARGO) build --locked --release --target $(HOST) --bin $(TARGET)
	mkdir -p fuzz/corpus/$(TARGET) fuzz/artifacts
	cd fuzz && target/$(HOST)/release/$(TARGET) -artifact_prefix=artifacts/ -max_total_time=$(SECONDS) \
		-timeout=5 -max_len=4096 corpus/$(TARGET) seeds/$(TARGET)

# Measures a request without sockets, then runs the installed load generators against the release build.
bench: ## measure one request without sockets, then with wrk and ab
	$(CARGO) build --release --locked
	cd benches/request && $(CARGO) bench --locked -- --noplot --quiet
	sh benches/load.sh

# Compares the protocols of the library with cp(1); needs a few GiB of disk.
bench-library: ## measure uploads and downloads beside cp; needs some GiB
	$(CARGO) build --release --locked
	$(PYTHON) benches/library.py

# Measures the cost of TLS beside nginx, lighttpd and h2o, if they are installed (Debian: apt-get install wrk openssl
# nginx-light lighttpd lighttpd-mod-openssl h2o).
bench-tls: ## measure HTTPS beside other servers
	$(CARGO) build --release --locked
	$(PYTHON) benches/tls.py --evserve $(BUILT)/evserve

# Races several server models on this machine and draws the results, in about four minutes. gevent is raced,
# too, if this Python has it: make lab PYTHON=venv/bin/python ARGS='--connections 1,100'
lab: ## compare server models on this machine; about four minutes
	$(CARGO) build --release --locked --bin evserve --example load
	RUSTFLAGS='$(RUSTFLAGS) --cfg mio_unsupported_force_poll_poll' CARGO_TARGET_DIR=target/poll \
		$(CARGO) build --release --locked --no-default-features --bin evserve
	$(PYTHON) benches/lab/race.py --evserve $(BUILT)/evserve --load $(BUILT)/examples/load \
		--evserve-poll target/poll/release/evserve $(ARGS)
