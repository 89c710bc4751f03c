"""The results of the race: every round of every model, why some ended early, and the table."""

import json
from statistics import median

from model import BASELINE, NAMES

HEAD = """# Benchmark of server models

Written by `make lab` on {date}: {cpus} × {cpu}, Linux {kernel}, Python {python}, {gevent}, {evserve}.

- Each server runs on one CPU{pinned}.
- Of the connections, {active} (or all, if there are fewer) are active: each requests a page of {length} bytes, one request at
  a time. The others have made one request and stay open, idle.
- Each model was measured in {rounds} rounds of {seconds:g} s. The order of the models changed from round to round.
- The figures are medians of the rounds. "× {baseline}" is the median of the ratios to {baseline} in the same round.
- "CPU µs/request" is the CPU time of the server's process group during the measurement, per request. "user µs/request"
  is its part in user mode, which includes the interpreter; the rest is time in the kernel. The resolution of both
  is a clock tick of 10 ms.
- The load generator is a single thread. Where it was busy for more than {busy:.0%} of the time, the generator limited the
  rate, not the server.
- Other programs used {others:.0%} of the CPUs during the measurements.

All rounds are in [RESULTS.json](RESULTS.json).

![requests per second and CPU time per request against the number of connections]({chart})
"""


class Results:
    def __init__(self, setting):
        self.setting = setting  # the machine, and how it was measured
        self.rounds = []  # one dict for each completed measurement
        self.ends = []  # where a model ended or was skipped, and why

    def end(self, model, connections, why, tried=True):
        self.ends.append({"model": model, "connections": connections, "why": why, "tried": tried})

    def why_ended(self, model, connections):
        """Returns why `model` has no result with this many connections, or None."""
        ends = [end for end in self.ends if end["model"] == model and end["connections"] <= connections]
        if not ends:
            return None
        first = min(ends, key=lambda end: end["connections"])
        if first["connections"] == connections:
            return first["why"]
        return f"not run: it failed with {first['connections']:,} connections" if first["tried"] else first["why"]

    def of(self, model, connections):
        return [row for row in self.rounds if (row["model"], row["connections"]) == (model, connections)]

    def raced(self, model):
        return any(row["model"] == model for row in self.rounds)

    def models(self):
        """Returns the names of all models that ran or were skipped, in order."""
        known = {row["model"] for row in self.rounds + self.ends}
        return [name for name in NAMES if name in known]

    def steps(self):
        return sorted({row["connections"] for row in self.rounds + self.ends})

    def others(self):
        """Returns the share of all CPUs that other programs used during the measurements."""
        return sum(row["others"] for row in self.rounds) / max(len(self.rounds), 1)

    def baseline(self):
        """Returns evserve over epoll, or the first model that ran."""
        return BASELINE if self.raced(BASELINE) else next(filter(self.raced, NAMES), BASELINE)

    def median(self, model, connections, figure):
        rows = self.of(model, connections)
        return median(row[figure] for row in rows) if rows else None

    def ratio(self, model, connections, figure):
        """Returns the median ratio to the baseline in the same round."""
        base = {row["round"]: row[figure] for row in self.of(self.baseline(), connections)}
        rows = [row for row in self.of(model, connections) if base.get(row["round"])]
        return median(row[figure] / base[row["round"]] for row in rows) if rows else None

    def save(self, path):
        with open(path, "w") as file:
            pairs = [(key, getattr(self, key)) for key in ("setting", "rounds", "ends")]
            rows = ",\n".join(f'"{key}": {lines(value)}' for key, value in pairs)
            file.write("{\n" + rows + "\n}\n")

    @staticmethod
    def load(path):
        with open(path) as file:
            saved = json.load(file)
        results = Results(saved["setting"])
        results.rounds, results.ends = saved["rounds"], saved["ends"]
        return results

    def markdown(self, chart):
        text = HEAD.format(chart=chart, baseline=self.baseline(), others=self.others(), **self.setting)
        for connections in self.steps():
            text += f"\n## {connections:,} connection{'s' * (connections != 1)}\n\n" + self.table(connections)
        return text

    def table(self, connections):
        rows = [
            "| model | requests/s | × {0} | CPU µs/request | × {0} | user µs/request | p50 µs | p99 µs | note |".format(
                self.baseline()
            ),
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
        ]
        rows += [self.row(model, connections) for model in self.models()]
        return "\n".join(rows) + "\n"

    def row(self, model, connections):
        def cell(figure, form, of=self.median):
            value = of(model, connections, figure)
            return "" if value is None else format(value, form)

        cells = [cell("rate", ",.0f"), cell("rate", ".3g", self.ratio)]
        cells += [cell("cpu_us", ",.1f"), cell("cpu_us", ".3g", self.ratio)]
        cells += [cell("user_us", ",.1f"), cell("p50_us", ",.0f"), cell("p99_us", ",.0f"), self.remarks(model, connections)]
        return f"| {model} | {' | '.join(cells)} |"

    def remarks(self, model, connections):
        rows, remarks = self.of(model, connections), []
        if why := self.why_ended(model, connections):
            remarks.append(why)
        if errors := sum(row["errors"] for row in rows):
            remarks.append(f"{errors:,} errors")
        if rows and self.median(model, connections, "generator") > self.setting["busy"]:
            remarks.append("the load generator was the limit")
        return "; ".join(remarks)


def lines(value):
    """Formats JSON with one entry per line, so that two runs can be compared by diff."""
    if isinstance(value, list):
        return "[\n  " + ",\n  ".join(json.dumps(entry, ensure_ascii=False) for entry in value) + "\n]"
    return json.dumps(value, indent=2, ensure_ascii=False)
