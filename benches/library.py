#!/usr/bin/env python3
"""Measures the protocols of the library in interleaved rounds (needs curl and wrk):

  store   a large upload, by PUT over HTTP and in lines, compared with cp --reflink=never; each with a sync
  fetch   a large cached file, from the site, from /files/ and in lines
  crowd   the p99 of small requests, alone and during 200 uploads

usage: benches/library.py [EVSERVE] [--size MIB] [--rounds N] [--folder DIR]
"""

import argparse
import multiprocessing
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time


class Server:
    """evserve on free ports, with a site and a library in one folder."""

    def __init__(self, program, folder):
        self.site, self.library = os.path.join(folder, "site"), os.path.join(folder, "library")
        os.makedirs(self.site)
        os.makedirs(self.library)
        arguments = ["--html", self.site, "--files", self.library, "--http", "0", "--file", "0"]
        more = ["--max-upload", "100G", "--keep-free", "0", "--overwrite", "--log-level", "info"]
        self.process = subprocess.Popen([program, *arguments, *more], stderr=subprocess.PIPE, text=True)
        ports = {}
        while len(ports) < 2:
            found = re.search(r"listening (\w+) \w+://127.0.0.1:(\d+)", self.process.stderr.readline())
            if found:
                ports[found[1]] = int(found[2])
        self.http, self.file = ports["http"], ports["file"]
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def stop(self):
        self.process.terminate()
        self.process.wait()


def timed(work):
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def curl(*arguments):
    subprocess.run(["curl", "-sS", "--fail", "-H", "Expect:", *arguments], check=True, stdout=subprocess.DEVNULL)


def put_in_lines(port, path):
    with socket.create_connection(("127.0.0.1", port)) as peer, open(path, "rb") as file:
        peer.sendall(b"PUT %d in-lines\n" % os.path.getsize(path))
        peer.sendfile(file)
        reply = peer.recv(200)
        assert reply.startswith(b"OK "), reply


def drain(port, request, length):
    """Receives a response and discards it."""
    room = bytearray(1 << 20)
    with socket.create_connection(("127.0.0.1", port)) as peer:
        peer.sendall(request)
        while length > 0:
            # MSG_TRUNC: the kernel discards the bytes (tcp(7)).
            length -= peer.recv_into(room, flags=socket.MSG_TRUNC) or sys.exit("the response is too short")


def show(title, baseline, times, size):
    base = times[baseline]
    for name, each in times.items():
        ratio = statistics.median(one / other for one, other in zip(base, each))
        print(f"{title:6} {name:10} {size / statistics.median(each):7.0f} MiB/s   {ratio:5.2f} x {baseline}")


def store(server, source, size, rounds):
    ways = {
        "cp": lambda: subprocess.run(["cp", "--reflink=never", source, server.library + "/by-cp"], check=True),
        "http": lambda: curl("-T", source, f"http://127.0.0.1:{server.http}/files/by-http"),
        "lines": lambda: put_in_lines(server.file, source),
    }
    times = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            for left in os.listdir(server.library):
                os.unlink(os.path.join(server.library, left))
            os.sync()
            times[name].append(timed(lambda: (way(), os.sync())))
    show("store", "cp", times, size)


def fetch(server, source, size, rounds):
    for folder in (server.site, server.library):
        shutil.copy(source, folder + "/large")
    os.sync()
    length = size << 20
    get = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
    ways = {
        "site": lambda: drain(server.http, get % b"/large", length),
        "/files/": lambda: drain(server.http, get % b"/files/large", length),
        "lines": lambda: drain(server.file, b"G large\n", length),
    }
    times = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(timed(way))
    show("fetch", "site", times, size)


def small_requests(server):
    """Returns the p99 of small requests, in ms."""
    url = f"http://127.0.0.1:{server.http}/small"
    printed = subprocess.run(["wrk", "-t1", "-c16", "-d3s", "--latency", url], capture_output=True, text=True).stdout
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", printed).groups()
    return float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def upload_for_ever(port, rate):
    """Keeps 200 uploads in progress, with a total rate of `rate` MiB/s."""
    os.nice(10)  # leaves the CPU to the server and to the measured client
    block = memoryview(bytes(64 << 10))
    peers = []
    for number in range(200):
        peer = socket.create_connection(("127.0.0.1", port))
        peer.sendall(b"PUT %d crowd-%d\n" % (60 << 30, number))
        peer.setblocking(False)
        peers.append(peer)
    begin, sent = time.perf_counter(), 0
    while True:
        for peer in peers:
            while sent > rate * (1 << 20) * (time.perf_counter() - begin):
                time.sleep(0.001)
            try:
                sent += peer.send(block)
            except BlockingIOError:
                pass


def crowd(server, rounds, rate):
    with open(server.site + "/small", "wb") as file:
        file.write(bytes(1024))
    alone, together = [], []
    for _ in range(rounds):
        alone.append(small_requests(server))
        uploads = multiprocessing.Process(target=upload_for_ever, args=(server.file, rate))
        uploads.start()
        time.sleep(1)
        together.append(small_requests(server))
        uploads.terminate()
        uploads.join()
    ratio = statistics.median(one / other for one, other in zip(together, alone))
    print(f"crowd  p99 of small requests: {statistics.median(alone):.2f} ms alone, "
          f"{statistics.median(together):.2f} ms during 200 uploads of {rate} MiB/s in total   {ratio:.2f} x")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?", default="target/release/evserve")
    parser.add_argument("--size", type=int, default=1024, help="size of the large file in MiB (1024)")
    parser.add_argument("--rounds", type=int, default=5, help="number of rounds (5)")
    parser.add_argument("--rate", type=int, default=100, help="total rate of the 200 uploads in MiB/s (100, a gigabit link)")
    parser.add_argument("--folder", help="where to create the temporary folder for the files (the folder of the program)")
    parser.add_argument("--only", choices=["store", "fetch", "crowd"], help="run one measurement only")
    options = parser.parse_args()
    beside = options.folder or os.path.dirname(os.path.abspath(options.program))
    with tempfile.TemporaryDirectory(dir=beside) as folder:
        server = Server(options.program, folder)
        try:
            source = folder + "/source"
            with open(source, "wb") as file:
                for _ in range(options.size):
                    file.write(os.urandom(1 << 20))
            if options.only in (None, "store"):
                store(server, source, options.size, options.rounds)
            if options.only in (None, "fetch"):
                fetch(server, source, options.size, options.rounds)
            if options.only in (None, "crowd"):
                crowd(server, options.rounds, options.rate)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
