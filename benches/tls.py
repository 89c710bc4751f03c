#!/usr/bin/env python3
"""Measures the CPU time that a request over TLS costs the server, beside the servers that are installed.

evserve, nginx, lighttpd (with mod_openssl) and h2o serve the same files with the same certificate, each with one process
pinned to CPU 0, while wrk runs on CPU 1. The rounds are interleaved, so that a change of the machine's speed meets all
servers. Prints microseconds of CPU per request, and the ratio to the best other server with the 95 % interval of the
median (bootstrap over rounds).

    python3 benches/tls.py [--evserve BIN] [--rounds 10] [--secs 1] [--scenario s1k,close,resume,s10m,idle] [--tls 1.3]

Needs python3, openssl and wrk (Debian: apt-get install wrk openssl nginx-light lighttpd lighttpd-mod-openssl h2o).
"""

import argparse
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
CONNECTIONS = 64
IDLE = 1000


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def nginx(folder, port, tls):
    return ["nginx", "-p", folder, "-c", "nginx.conf", "-g", "daemon off;"], {
        "nginx.conf": f"""
worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.error;
events {{ worker_connections 20000; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; open_file_cache max=1000;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    server {{
        listen 127.0.0.1:{port} ssl backlog=4096; root {folder}/html; ssl_protocols TLSv{tls};
        ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem; ssl_session_cache shared:a:1m;
    }}
}}"""
    }


def lighttpd(folder, port, tls):
    return ["lighttpd", "-D", "-f", f"{folder}/lighttpd.conf"], {
        "lighttpd.conf": f"""
server.document-root = "{folder}/html"
server.port = {port}
server.bind = "127.0.0.1"
server.modules = ( "mod_openssl" )
server.max-keep-alive-requests = 100000000
server.max-connections = 10000
server.max-fds = 20000
ssl.engine = "enable"
ssl.pemfile = "{folder}/both.pem"
ssl.openssl.ssl-conf-cmd = ("MinProtocol" => "TLSv{tls}", "MaxProtocol" => "TLSv{tls}")
"""
    }


def h2o(folder, port, tls):
    return ["h2o", "-c", f"{folder}/h2o.conf"], {
        "h2o.conf": f"""
num-threads: 1
listen:
  host: 127.0.0.1
  port: {port}
  ssl:
    certificate-file: {folder}/cert.pem
    key-file: {folder}/key.pem
    minimum-version: TLSv{tls}
    maximum-version: TLSv{tls}
hosts:
  default:
    paths:
      /:
        file.dir: {folder}/html
"""
    }


PEERS = {"nginx": nginx, "lighttpd": lighttpd, "h2o": h2o}


class Server:
    """A running server, pinned to CPU 0."""

    def __init__(self, name, command, port):
        self.name, self.port = name, port
        self.process = subprocess.Popen(
            ["taskset", "-c", "0", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{name} did not start")
                time.sleep(0.05)

    def pids(self):
        """The process and its children: nginx serves in a child."""
        pids = [self.process.pid]
        for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = entry.read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[1]) in pids:
                pids.append(int(entry.parent.name))
        return pids

    def cpu(self):
        total = 0
        for pid in self.pids():
            # The runtime of the scheduler is in nanoseconds; the ticks of /proc/PID/stat are too coarse.
            for task in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
                total += int(task.read_text().split()[0])
        return total / 1e9

    def resident(self):
        return sum(int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids()) * PAGE

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()


def wrk(server, path, secs, header=None, connections=CONNECTIONS):
    """Returns the CPU time per request, in microseconds, and the requests per second."""
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(secs))}s", "--timeout", "10s"]
    command += ["-H", header] if header else []
    before = server.cpu()
    said = subprocess.run(
        [*command, f"https://127.0.0.1:{server.port}{path}"], capture_output=True, text=True, check=True
    ).stdout
    used = server.cpu() - before
    requests = int(re.search(r"(\d+) requests in", said)[1])
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    if errors or not requests:
        raise SystemExit(f"{server.name}: {said}")
    return used / requests * 1e6, float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])


def handshakes(server, secs, resumed):
    """Returns the CPU time per connection with one request, in microseconds, and the connections per second."""
    option = "-reuse" if resumed else "-new"
    before = server.cpu()
    said = subprocess.run(
        ["taskset", "-c", "1", "openssl", "s_time", "-connect", f"127.0.0.1:{server.port}", option]
        + ["-time", str(max(1, int(secs))), "-www", "/1k.txt"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    used = server.cpu() - before
    count, real = re.search(r"(\d+) connections in (\d+) real seconds", said).groups()
    return used / int(count) * 1e6, int(count) / int(real)


def idle(server):
    """Returns the resident bytes per idle connection after a request."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    warm = [connect(server, context) for _ in range(50)]
    before = server.resident()
    held = [connect(server, context) for _ in range(IDLE)]
    time.sleep(0.5)
    grown = server.resident() - before
    for one in warm + held:
        one.close()
    time.sleep(0.5)
    return grown / IDLE, IDLE


def connect(server, context):
    stream = context.wrap_socket(socket.create_connection(("127.0.0.1", server.port)))
    stream.sendall(b"GET /1k.txt HTTP/1.1\r\nHost: localhost\r\n\r\n")
    received = b""
    while b"\r\n\r\n" not in received or len(received.split(b"\r\n\r\n", 1)[1]) < 1024:
        received += stream.recv(65536)
    return stream


SCENARIOS = {
    "s1k": ("1 KiB, keep-alive", lambda server, secs: wrk(server, "/1k.txt", secs)),
    "close": (
        "1 KiB, a connection per request (wrk)",
        lambda server, secs: wrk(server, "/1k.txt", secs, "Connection: close"),
    ),
    "full": ("full handshake and 1 KiB (s_time)", lambda server, secs: handshakes(server, secs, False)),
    "resume": ("resumed handshake and 1 KiB (s_time)", lambda server, secs: handshakes(server, secs, True)),
    "s100k": ("100 KiB, keep-alive", lambda server, secs: wrk(server, "/100k.bin", secs)),
    "s10m": ("10 MiB, keep-alive", lambda server, secs: wrk(server, "/10m.bin", secs, connections=8)),
    "idle": ("resident bytes per idle connection", lambda server, secs: idle(server)),
}


def interval(ours, theirs):
    """The 95 % interval of the median of paired ratios."""
    ratios = [a / b for a, b in zip(ours, theirs)]
    medians = sorted(statistics.median(random.choices(ratios, k=len(ratios))) for _ in range(2000))
    return statistics.median(ratios), medians[49], medians[1949]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--evserve", action="append", help="NAME=BIN or BIN; repeatable")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--secs", type=float, default=1)
    parser.add_argument("--scenario", default=",".join(SCENARIOS))
    parser.add_argument("--tls", default="1.3", choices=["1.2", "1.3"])
    parser.add_argument("--only", help="peers, separated by commas")
    parser.add_argument("--key", default="p256", choices=["p256", "rsa"])
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="evserve-tls-")
    servers = []
    try:
        prepare(folder, options.key)
        for text in options.evserve or ["evserve=target/release/evserve"]:
            name, _, program = text.rpartition("=")
            port = free_port()
            command = [program, "--html", f"{folder}/html", "--http", "off", "--file", "off"]
            command += ["--https", str(port), "--cert", f"{folder}/cert.pem", "--key", f"{folder}/key.pem"]
            servers.append(Server(name or "evserve", command, port))
        for name, setup in PEERS.items():
            if shutil.which(name) and (options.only is None or name in options.only.split(",")):
                port = free_port()
                command, files = setup(folder, port, options.tls)
                for file, text in files.items():
                    pathlib.Path(folder, file).write_text(text)
                servers.append(Server(name, command, port))
        for scenario in options.scenario.split(","):
            race(scenario, servers, options)
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(folder)


def prepare(folder, key):
    kind = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if key == "p256" else ["rsa:2048"]
    subprocess.run(
        ["openssl", "req", "-x509", "-nodes", "-newkey", *kind, "-days", "30", "-subj", "/CN=localhost"]
        + ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        + ["-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"],
        check=True,
        capture_output=True,
    )
    both = pathlib.Path(folder, "cert.pem").read_text() + pathlib.Path(folder, "key.pem").read_text()
    pathlib.Path(folder, "both.pem").write_text(both)
    html = pathlib.Path(folder, "html")
    html.mkdir()
    os.chmod(folder, 0o755)
    for name, size in [("1k.txt", 1024), ("100k.bin", 100 << 10), ("10m.bin", 10 << 20)]:
        (html / name).write_bytes(b"x" * size if name.endswith("txt") else os.urandom(size))


def race(scenario, servers, options):
    title, measure = SCENARIOS[scenario]
    unit = "bytes" if scenario == "idle" else "us"
    rounds = 1 if scenario == "idle" else options.rounds
    results = {server.name: [] for server in servers}
    rates = {server.name: [] for server in servers}
    if scenario != "idle":
        for server in servers:
            measure(server, 1)
    for number in range(rounds):
        shift = number % len(servers)
        for server in servers[shift:] + servers[:shift]:
            value, rate = measure(server, options.secs)
            results[server.name].append(value)
            rates[server.name].append(rate)
    print(f"{title}, TLS {options.tls}, {options.key}:")
    peers = [server.name for server in servers if server.name in PEERS]
    best = min(peers, key=lambda name: statistics.median(results[name]), default=None)
    for name, values in results.items():
        line = f"  {name:10} {statistics.median(values):10.1f} {unit}  {statistics.median(rates[name]):9.0f}/s"
        if best and name not in PEERS:
            ratio, low, high = interval(values, results[best])
            line += f"  {ratio:.3f} ({low:.3f}-{high:.3f}) x {best}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
