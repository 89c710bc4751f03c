"""A server under measurement, in its own process group and on its own CPU."""

import os
import re
import signal
import subprocess
import tempfile
import time
import urllib.request

START_MAX = 10  # seconds until it listens
END_MAX = 5  # seconds until it has exited after SIGTERM
TICKS = os.sysconf("SC_CLK_TCK")


def wait_until(met, seconds):
    """Polls until `met()` is true, for at most `seconds`, and returns its last result."""
    deadline = time.monotonic() + seconds
    while not (answer := met()) and time.monotonic() < deadline:
        time.sleep(0.005)
    return answer


class Server:
    """Starts on entry to `with`; on exit, ends with all its children."""

    def __init__(self, command, cpu):
        self.command, self.cpu = command, cpu

    def __enter__(self):
        # A file, not a pipe, since nothing reads the output during the measurement.
        self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.output,
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {self.cpu}),
        )
        try:
            wait_until(lambda: self.port() or self.process.poll() is not None, START_MAX)
            if self.port() is None:
                raise RuntimeError(f"failed to start: {self.last_words()}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.signal(signal.SIGTERM)
        wait_until(lambda: self.process.poll() is not None and not self.alive(), END_MAX)
        self.signal(signal.SIGKILL)
        self.process.wait()
        self.output.close()

    def signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def printed(self):
        return os.pread(self.output.fileno(), 1 << 20, 0).decode(errors="replace")

    def port(self):
        found = re.search(r"listening (?:http http://127\.0\.0\.1:)?(\d+)", self.printed())
        return int(found[1]) if found else None

    def last_words(self):
        lines = self.printed().strip().splitlines()
        return lines[-1].strip() if lines else "no output"

    def page(self):
        """Fetches the page over a new connection."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port()}/", timeout=START_MAX) as answer:
            return answer.read()

    def uses_epoll(self):
        folder = f"/proc/{self.process.pid}/fd"
        return any("eventpoll" in os.readlink(f"{folder}/{number}") for number in os.listdir(folder))

    def alive(self):
        return any(stat[0] not in "ZX" for stat in self.group())

    def cpu_seconds(self):
        """Returns the user and system time of the group so far, including children that have ended."""
        times = [[int(field) for field in stat[11:15]] for stat in self.group()]
        user = sum(own + of_children for own, _, of_children, _ in times)
        system = sum(own + of_children for _, own, _, of_children in times)
        return user / TICKS, system / TICKS

    def group(self):
        """Yields the stat fields of each process of the group."""
        for name in os.listdir("/proc"):
            stat = read_stat(name) if name.isdigit() else None
            if stat and int(stat[2]) == self.process.pid:
                yield stat


def read_stat(pid):
    """Returns the fields of /proc/PID/stat from the state on (proc_pid_stat(5)), or None after its end."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The program name before these fields may contain spaces and parentheses.
            return file.read().decode(errors="replace").rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def machine_seconds():
    """Returns the time that all CPUs were busy, or taken away by a hypervisor (proc_stat(5))."""
    with open("/proc/stat") as file:
        user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(int, file.readline().split()[1:])
    return (user + nice + system + irq + softirq + steal) / TICKS


def cpu_seconds(pid):
    """Returns the user plus system time of one process so far."""
    stat = read_stat(pid)
    return sum(map(int, stat[11:13])) / TICKS if stat else 0.0
