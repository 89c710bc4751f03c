#!/usr/bin/env python3
"""Races the server models of the teaching notes, and evserve over epoll and over poll(2), on this machine.

In each round, all models take turns at each number of connections. The order changes from round to round, so
that other load on the machine affects all models alike. Writes the results (RESULTS.md, RESULTS.json) and the
chart (lab.svg). `make lab` builds the programs and runs the race. Python's standard library is enough; gevent
is raced if it is installed.
"""

import argparse
import datetime
import importlib.util
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from importlib import metadata

sys.dont_write_bytecode = True  # leaves the checkout unchanged
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.append(os.path.join(HERE, "models"))

import chart  # noqa: E402
import page  # noqa: E402
from model import FOLDER, MODELS, NAMES  # noqa: E402
from results import Results  # noqa: E402
from server import Server, cpu_seconds, machine_seconds, wait_until  # noqa: E402

CONNECTIONS = [1, 100, 1_000, 10_000]
SECONDS_LEAST = 0.1  # CPU time is counted in clock ticks of 10 ms
DESCRIPTORS_ELSE = 40  # descriptors of a server or the generator other than its connections
BUSY = 0.95  # the generator limits the rate if it is busy for more of the time
PATIENCE = 2  # seconds without progress after which connections count as unanswered
OPENING_MAX = 40  # seconds to open all connections
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Ended(Exception):
    """The reason why a model could not be measured."""


def say(text):
    print(text, file=sys.stderr, flush=True)


class Race:
    def __init__(self, options, site):
        self.options, self.site = options, site
        cpus = sorted(os.sched_getaffinity(0))
        self.server_cpu, self.load_cpu = cpus[0], cpus[-1]
        os.sched_setaffinity(0, {self.load_cpu})
        self.results = Results(setting(options, len(cpus)))

    def run(self):
        models = [model for model in MODELS if model.name in self.options.models and self.is_fit(model)]
        for number in range(self.options.rounds):
            shift = number % max(len(models), 1)
            for connections in self.options.connections:
                for model in models[shift:] + models[:shift]:
                    if self.takes_part(model, connections):
                        self.have_turn(model, connections, number)
        return self.results

    def command(self, model):
        if model.file:
            return [sys.executable, "-B", os.path.join(FOLDER, model.file)]
        program = self.options.evserve_poll if model.name == "evserve-poll" else self.options.evserve
        return [program, "--html", self.site, "--http", "0", "--file", "off", "--idle-timeout", "10m", "--drain-timeout", "1s"]

    def is_fit(self, model):
        """Returns whether the model can run and serves the common page."""
        try:
            if model.name == "greenlet" and importlib.util.find_spec("gevent") is None:
                raise Ended("skipped: gevent is not installed")
            if not model.file and not os.access(self.command(model)[0], os.X_OK):
                raise Ended(f"skipped: {self.command(model)[0]} is not built")
            with Server(self.command(model), self.server_cpu) as server:
                if server.page() != page.BODY:
                    raise Ended("skipped: its page differs from the expected one")
                if model.name == "evserve-poll" and server.uses_epoll():
                    raise Ended("skipped: this build uses epoll")
        except (Ended, OSError, RuntimeError) as error:
            say(f"{model.name}: {error}")
            self.results.end(model.name, self.options.connections[0], str(error), tried=False)
            return False
        return True

    def takes_part(self, model, connections):
        """Returns whether the model runs with this many connections. Prints the first reason why it does not."""
        if self.results.why_ended(model.name, connections):
            return False
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        why = None
        if connections > model.most:
            why = f"not run above {model.most:,}: {model.why}"
        elif limit != resource.RLIM_INFINITY and connections + DESCRIPTORS_ELSE > limit:
            why = f"not run: needs more descriptors than the limit of {limit:,} (ulimit -Hn)"
        if why:
            say(f"{connections:6,} connections, {model.name}: {why}")
            self.results.end(model.name, connections, why, tried=False)
        return not why

    def have_turn(self, model, connections, number):
        where = f"{connections:6,} connections, round {number + 1} of {self.options.rounds}, {model.name:12}"
        try:
            with Server(self.command(model), self.server_cpu) as server:
                figures = self.measure(server, connections)
        except (Ended, OSError, RuntimeError) as error:
            say(f"{where} {error}")
            self.results.end(model.name, connections, str(error))
            return
        say(f"{where} {figures['rate']:9,.0f} requests/s {figures['cpu_us']:9,.1f} µs")
        self.results.rounds.append({"model": model.name, "connections": connections, "round": number, **figures})

    def measure(self, server, connections):
        active = min(self.options.active, connections)
        command = [self.options.load, f"127.0.0.1:{server.port()}", "--hold", "--length", str(len(page.BODY))]
        command += ["--connections", str(connections), "--active", str(active)]
        command += ["--seconds", str(self.options.seconds), "--patience", str(PATIENCE)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, **pipes) as load:  # on the CPU of this program
            watchdog = threading.Timer(OPENING_MAX + self.options.seconds, load.kill)
            watchdog.start()
            try:
                return self.converse(server, load, connections)
            finally:
                load.kill()
                watchdog.cancel()
                watchdog.join()  # Server's preexec_fn must not run beside a second thread

    def converse(self, server, load, connections):
        """Starts the measurement once all connections are open, and takes the CPU times of that period."""
        line = load.stdout.readline()
        if line.strip() != "ready":
            raise Ended(self.why_not_ready(server, load, line, connections))
        before = self.cpu_times(server, load)
        load.stdin.write("go\n")
        load.stdin.flush()
        seen = json.loads(load.stdout.readline() or "{}")
        # The connections are still open: closing them would cost the server CPU time.
        after = self.cpu_times(server, load)
        user, system, of_load, of_all = (now - then for now, then in zip(after, before))
        if server.process.poll() is not None:
            raise Ended(f"ended: {server.last_words()}")
        if not seen.get("requests"):
            raise Ended(f"no response within {self.options.seconds:g} s")
        others = (of_all - user - system - of_load) / seen["seconds"] / os.cpu_count()
        return {
            "rate": round(seen["requests"] / seen["seconds"], 1),
            "cpu_us": round((user + system) / seen["requests"] * 1e6, 3),
            "user_us": round(user / seen["requests"] * 1e6, 3),
            "generator": round(of_load / seen["seconds"], 3),
            "others": round(max(others, 0), 3),
            "p50_us": seen["p50_us"],
            "p99_us": seen["p99_us"],
            "errors": seen["errors"],
        }

    def cpu_times(self, server, load):
        """Returns the times of the server in user and in kernel mode, of the generator, and of all CPUs."""
        return *server.cpu_seconds(), cpu_seconds(load.pid), machine_seconds()

    def why_not_ready(self, server, load, line, connections):
        if not line:
            return f"the load generator failed: {load.stderr.read().strip() or 'timed out'}"
        seen = json.loads(line)
        # A server that has reset its clients may be about to exit.
        if seen["errors"]:
            wait_until(lambda: server.process.poll() is not None, 1)
        if server.process.poll() is not None:
            return f"ended: {server.last_words()}"
        if seen["standing"] == 1:
            return "blocked by an idle connection"
        return f"only {seen['standing']:,} of {connections:,} connections received a response"


def setting(options, cpus):
    """Describes the machine and the measurement."""
    gevent = importlib.util.find_spec("gevent")
    version = ""
    if os.access(options.evserve, os.X_OK):
        version = subprocess.run([options.evserve, "--version"], capture_output=True, text=True, check=False).stdout
    return {
        "date": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %z"),
        "cpu": cpu_name(),
        "cpus": cpus,
        "pinned": ", the load generator on another" if cpus > 1 else ", which it shares with the load generator",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "gevent": f"gevent {metadata.version('gevent')}" if gevent else "no gevent",
        "evserve": version.strip() or "no evserve",
        "active": options.active,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "length": len(page.BODY),
        "busy": BUSY,
    }


def cpu_name():
    with open("/proc/cpuinfo") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()


def write(results, out):
    """Writes the table, the rounds and the chart into one folder, or each to its place in the checkout."""
    tables, pictures = (out, out) if out else (HERE, os.path.join(ROOT, "html"))
    picture = os.path.join(pictures, "lab.svg")
    results.save(os.path.join(tables, "RESULTS.json"))
    with open(os.path.join(tables, "RESULTS.md"), "w") as file:
        file.write(results.markdown(os.path.relpath(picture, tables)))
    with open(picture, "w") as file:
        file.write(chart.draw(results))
    say(f"written: {tables}/RESULTS.md, {picture}")


def positive(kind):
    def parse(text):
        value = kind(text)
        if not 0 < value <= 100_000:
            raise argparse.ArgumentTypeError(f"{text} is not a positive number")
        return value

    parse.__name__ = "number"
    return parse


def names(text):
    chosen = text.split(",")
    for name in chosen:
        if name not in NAMES:
            raise argparse.ArgumentTypeError(f"unknown model {name!r}; the models are {', '.join(NAMES)}")
    return chosen


def numbers(text):
    return sorted({positive(int)(number) for number in text.split(",")})


def leave(number, _):
    """Exits, which also stops every server. That takes a few seconds, which another Ctrl-C must not cut
    short."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


def parse_options():
    parser = argparse.ArgumentParser(description="Benchmarks server models on this machine.")
    built = os.path.join(ROOT, "target")
    parser.add_argument("--models", type=names, default=NAMES, metavar="NAME,NAME", help=f"the models to run ({', '.join(NAMES)})")
    parser.add_argument("--connections", type=numbers, default=CONNECTIONS, metavar="N,N", help=f"numbers of connections ({', '.join(map(str, CONNECTIONS))})")
    parser.add_argument("--active", type=positive(int), default=10, metavar="N", help="number of connections that send requests (10)")
    parser.add_argument("--rounds", type=positive(int), default=5, metavar="N", help="number of rounds (5)")
    parser.add_argument("--seconds", type=positive(float), default=0.7, metavar="S", help="length of a measurement (0.7)")
    parser.add_argument("--out", metavar="DIR", help="folder for RESULTS.md, RESULTS.json and lab.svg (benches/lab and html; target/lab if --models or --connections is given)")
    parser.add_argument("--evserve", default=f"{built}/release/evserve", metavar="PATH", help="evserve over epoll (target/release/evserve)")
    parser.add_argument("--evserve-poll", default=f"{built}/poll/release/evserve", metavar="PATH", help="evserve over poll(2) (target/poll/release/evserve)")
    parser.add_argument("--load", default=f"{built}/release/examples/load", metavar="PATH", help="the load generator (target/release/examples/load)")
    options = parser.parse_args()
    if options.seconds < SECONDS_LEAST:
        parser.error(f"--seconds must be at least {SECONDS_LEAST:g}")
    if (options.models, options.connections) != (NAMES, CONNECTIONS):
        # html/lab.html describes the whole race, so a partial one does not overwrite it.
        options.out = options.out or os.path.join(ROOT, "target", "lab")
    if not (os.path.isfile(options.load) and os.access(options.load, os.X_OK)):
        parser.error(f"cannot run the load generator {options.load}; `make lab` builds it")
    try:
        os.makedirs(options.out or HERE, exist_ok=True)
    except OSError as error:
        parser.error(f"--out: {error}")
    return options


def main():
    if sys.platform != "linux":
        sys.exit("race.py: needs Linux, for epoll and /proc")
    options = parse_options()
    for number in SIGNALS:
        signal.signal(number, leave)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as site:
        with open(os.path.join(site, "index.html"), "wb") as file:
            file.write(page.BODY)
        results = Race(options, site).run()
    if not results.rounds:
        sys.exit("race.py: no model could be measured")
    write(results, options.out)


if __name__ == "__main__":
    main()
