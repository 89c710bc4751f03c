#!/usr/bin/env python3
"""Draws the race as an SVG: requests per second and CPU time per request against connections.

`chart.py RESULTS.json >lab.svg` draws an earlier race again.
"""

import math
import sys
import textwrap
from html import escape

WIDTH, PANEL_HEIGHT = 400, 296
LEFT, RIGHT = 42, 250  # edges of the plots
KEY = 278  # x of the marks of the labels
LINE = 16  # height of a line of text
MARGIN = 8
NOISE = 0.05  # share of the CPUs of other programs above which the caption mentions it

# How each model is drawn: color class, line width, dashes, mark. The color stands for the way to wait, and
# thick lines are evserve; dashes and marks distinguish the models without color.
LOOKS = {
    "sequential": ("plain", 1.75, "", "cross"),
    "fork": ("each", 1.75, "9 3", "down"),
    "thread": ("each", 1.75, "4 3", "up"),
    "greenlet": ("each", 1.75, "1.5 2.5", "star"),
    "scan": ("scan", 1.75, "7 3 2 3", "hex"),
    "select": ("select", 1.75, "6 3", "diamond"),
    "poll": ("poll", 1.75, "", "box"),
    "epoll": ("epoll", 1.75, "", "ring"),
    "evserve-poll": ("poll", 3.5, "", "square"),
    "evserve": ("epoll", 3.5, "", "disc"),
}

# The marks, centered at 0,0. Hollow ones are filled with the background.
MARKS = {
    "cross": '<path class="hollow" d="M-4 0H4M0 -4V4"/>',
    "down": '<path class="hollow" d="M0 4.5L-4.5 -3.5H4.5Z"/>',
    "up": '<path class="hollow" d="M0 -4.5L-4.5 3.5H4.5Z"/>',
    "star": '<path class="hollow" d="M-4 0H4M-2 -3.5L2 3.5M2 -3.5L-2 3.5"/>',
    "hex": '<path class="hollow" d="M-4.5 0L-2.2 -4H2.2L4.5 0L2.2 4H-2.2Z"/>',
    "diamond": '<path class="hollow" d="M0 -5L5 0L0 5L-5 0Z"/>',
    "box": '<path class="hollow" d="M-3.7 -3.7H3.7V3.7H-3.7Z"/>',
    "ring": '<circle class="hollow" r="4"/>',
    "square": '<path class="full" d="M-4.5 -4.5H4.5V4.5H-4.5Z"/>',
    "disc": '<circle class="full" r="5"/>',
}

# Why a model ended: a part of the reason in the results, a word for the plot, and a phrase for the caption.
ENDINGS = [
    ("blocked by an idle", "blocked", "blocked by an idle client"),
    ("out of range in select", "1,024", "limit of 1,024 descriptors"),
    ("not run above", "not run", "not run with more clients"),
]

STYLE = """
    :root {
      color-scheme: light dark;
      background: var(--paper);
      --paper: #fff; --grid: #dfe5ea; --ink: #17202a; --soft: #4c5966;
      --plain: #4c5966; --each: #00795a; --scan: #8a6a00; --select: #a83a80; --poll: #c04a00; --epoll: #0068a8;
    }
    @media (prefers-color-scheme: dark) {
      :root {
        --paper: #161e26; --grid: #2f3b46; --ink: #e6ebf0; --soft: #a9b5c0;
        --plain: #a9b5c0; --each: #4fcda5; --scan: #e6c229; --select: #ec8cc6; --poll: #ff8f4d; --epoll: #62b8f2;
      }
    }
    text {
      font: 13px -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif;
      fill: var(--soft);
    }
    .heading { font-size: 15px; font-weight: 700; fill: var(--ink); }
    .name { fill: var(--ink); }
    .thick { font-weight: 700; }
    .over { paint-order: stroke; stroke: var(--paper); stroke-width: 4px; stroke-linejoin: round; }
    .middle { text-anchor: middle; }
    .end { text-anchor: end; }
    .grid { stroke: var(--grid); }
    .lead { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 1 2.5; fill: none; }
    .stop { stroke: var(--ink); stroke-width: 2; fill: none; }
    .line { fill: none; stroke-linejoin: round; }
    .hollow { fill: var(--paper); stroke-width: 1.75; }
    .full { stroke: var(--paper); stroke-width: 1; }
"""


class Scale:
    """Maps values to coordinates on a logarithmic scale."""

    def __init__(self, low, high, first, last):
        self.low, self.first = math.log10(low), first
        self.per_decade = (last - first) / max(math.log10(high) - self.low, 1e-9)

    def __call__(self, value):
        return self.first + (math.log10(value) - self.low) * self.per_decade


def round_out(values):
    """Returns the nearest of 1, 2, 5, 10, … below and above all values."""
    steps = [step * 10.0**power for power in range(-3, 8) for step in (1, 2, 5)]
    low = max(step for step in steps if step < min(values))
    return low, min(step for step in steps if step > max(values))


def spread(places, gap, low, high):
    """Moves places apart to a distance of at least `gap`, each as little as possible.

    Places that are too close become a block that is centered on their mean.
    """
    blocks = []  # [sum of the first places that its lines imply, number of lines]
    order = sorted(range(len(places)), key=lambda index: places[index])

    def top(block):
        return min(max(block[0] / block[1], low), high - gap * (block[1] - 1))

    for index in order:
        blocks.append([places[index], 1])
        while len(blocks) > 1 and top(blocks[-2]) + gap * blocks[-2][1] > top(blocks[-1]):
            total, count = blocks.pop()
            blocks[-1][0] += total - count * gap * blocks[-1][1]
            blocks[-1][1] += count
    found = [top(block) + gap * line for block in blocks for line in range(block[1])]
    return {index: place for index, place in zip(order, found)}


def ending(results, model):
    """Returns a word and a phrase for why the model's line ends before the last step, or None."""
    if results.of(model, results.steps()[-1]):
        return None
    first = min((end for end in results.ends if end["model"] == model), key=lambda end: end["connections"])
    known = [(word, words) for part, word, words in ENDINGS if part in first["why"]]
    return known[0] if known else ("ended", first["why"])


class Panel:
    """One plot, with its heading at `top`."""

    def __init__(self, results, top, figure, heading, free_side):
        self.results, self.top, self.figure, self.heading = results, top, figure, heading
        self.free_side = free_side  # 1 if the space below the start of the lines is free, -1 if above
        steps = results.steps()
        self.x = Scale(steps[0], steps[-1], LEFT, RIGHT)
        self.low, self.high = round_out([row[figure] for row in results.rounds])
        self.y = Scale(self.low, self.high, top + PANEL_HEIGHT - 56, top + 32)

    def points(self, model):
        steps = [step for step in self.results.steps() if self.results.of(model, step)]
        return [(self.x(step), self.y(self.results.median(model, step, self.figure))) for step in steps]

    def draw(self):
        raced = [model for model in self.results.models() if self.points(model)]
        # Models that end at the first step are labeled there, the others on the right.
        early = [model for model in raced if self.points(model)[-1][0] == LEFT < self.x(self.results.steps()[-1])]
        rest = [model for model in raced if model not in early]
        parts = [f'<text class="heading" x="{MARGIN}" y="{self.top + 14}">{self.heading}</text>', self.grid()]
        parts += [self.curve(model) for model in raced]
        parts += [self.early_label(model, index) for index, model in enumerate(early)]
        wanted = [self.points(model)[-1][1] for model in rest]
        places = spread(wanted, LINE, self.top + 32, self.top + PANEL_HEIGHT - 56)
        parts += [self.label(model, places[index]) for index, model in enumerate(rest)]
        return "\n".join(parts)

    def grid(self):
        parts = []
        bottom = self.top + PANEL_HEIGHT - 56
        for power in range(-3, 8):
            if self.low <= 10**power <= self.high:
                y = self.y(10**power)
                parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{RIGHT}"/>')
                parts.append(f'<text class="end" x="{LEFT - 8}" y="{y + 4.5:.1f}">{short(10**power)}</text>')
        for step in self.results.steps():
            x = self.x(step)
            parts.append(f'<path class="grid" d="M{x:.1f} {self.top + 32}V{bottom}"/>')
            parts.append(f'<text class="middle" x="{x:.1f}" y="{bottom + 17}">{short(step)}</text>')
        parts.append(f'<text class="middle" x="{(LEFT + RIGHT) / 2}" y="{bottom + 33}">connections</text>')
        return "\n".join(parts)

    def curve(self, model):
        colour, width, dashes, mark = LOOKS[model]
        points = self.points(model)
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        dashing = f' stroke-dasharray="{dashes}"' if dashes else ""
        parts = [f'<path class="line" stroke="var(--{colour})" stroke-width="{width}"{dashing} d="M{path}"/>']
        parts += [drawn_mark(model, x, y) for x, y in points]
        return "\n".join(parts)

    def label(self, model, place):
        x, y = self.points(model)[-1]
        lead = f'<path class="lead" d="M{x + 7:.1f} {y:.1f}L{KEY - 9} {place:.1f}"/>'
        stop = drawn_stop(x, y) if ending(self.results, model) else ""
        return f"{lead}{stop}{drawn_mark(model, KEY, place)}{self.words(model, KEY + 10, place)}"

    def early_label(self, model, index):
        x, y = self.points(model)[-1]
        place = y + self.free_side * (48 + index * LINE)
        lead = f'<path class="lead" d="M{x:.1f} {y:.1f}V{place:.1f}"/>'
        stop = drawn_stop(x, y)
        return f"{lead}{stop}{drawn_mark(model, x, place)}{self.words(model, x + 10, place)}"

    def words(self, model, x, y):
        thick = " thick" if LOOKS[model][1] > 2 else ""
        end = ending(self.results, model)
        why = f' <tspan fill="var(--soft)">✕ {end[0]}</tspan>' if end else ""
        return f'<text class="name over{thick}" x="{x:.1f}" y="{y + 4.5:.1f}">{model}{why}</text>'


def short(number):
    return f"{number / 1000:g}k" if number >= 1000 else f"{number:g}"


def drawn_mark(model, x, y):
    colour, _, _, mark = LOOKS[model]
    paint = f'fill="var(--{colour})"' if "full" in MARKS[mark] else f'stroke="var(--{colour})"'
    return f'<g transform="translate({x:.1f} {y:.1f})" {paint}>{MARKS[mark]}</g>'


def drawn_stop(x, y):
    return f'<path class="stop" d="M{x + 6:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"/>'


def caption(results):
    """Returns the lines of the caption."""
    setting = results.setting
    paragraphs = ["Thick lines: evserve (Rust). Thin lines: Python models."]
    endings = {}
    for model in results.models():
        if results.raced(model) and (end := ending(results, model)):
            endings.setdefault(end[1], []).append(model)
    if endings:
        said = "; ".join(f"{', '.join(models)}: {words}" for words, models in endings.items())
        paragraphs.append(f"✕ {said}.")
    skipped = [f"{end['model']} ({end['why']})" for end in results.ends if not results.raced(end["model"])]
    if skipped:
        paragraphs.append(f"Not measured: {', '.join(skipped)}.")
    paragraphs.append(
        f"At most {setting['active']} connections are active, the rest idle. "
        f"{setting['cpus']} × {setting['cpu']}, Linux {setting['kernel']}, Python {setting['python']}, {setting['date'][:10]}."
    )
    if (others := results.others()) > NOISE:
        paragraphs.append(f"Other programs used {others:.0%} of the CPUs during the measurements.")
    return [line for paragraph in paragraphs for line in textwrap.wrap(paragraph, 58)]


def description(results):
    """Returns the figures as text, for screen readers."""
    said = []
    for step in results.steps():
        figures = [
            f"{model} {results.median(model, step, 'rate'):,.0f} and {results.median(model, step, 'cpu_us'):,.1f}"
            for model in results.models()
            if results.of(model, step)
        ]
        said.append(f"With {step:,} connection{'s' * (step != 1)}: {'; '.join(figures)}.")
    return f"Requests per second and microseconds of CPU time per request. {' '.join(said)}"


def draw(results):
    panels = [
        Panel(results, MARGIN, "rate", "Requests per second (more is better)", 1),
        Panel(results, MARGIN + PANEL_HEIGHT, "cpu_us", "CPU time per request, µs (less is better)", -1),
    ]
    top = MARGIN + 2 * PANEL_HEIGHT + 12
    words = caption(results)
    text = [f'<text x="{MARGIN}" y="{top + index * LINE}">{escape(line)}</text>' for index, line in enumerate(words)]
    height = top + len(words) * LINE
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
            f' aria-labelledby="title desc" width="{WIDTH}" height="{height}">',
            '<title id="title">Benchmark of server models</title>',
            f'<desc id="desc">{escape(description(results))}</desc>',
            f"<style>{STYLE}</style>",
            *(panel.draw() for panel in panels),
            *text,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    from results import Results

    if len(sys.argv) != 2:
        sys.exit("usage: chart.py RESULTS.json >lab.svg")
    sys.stdout.write(draw(Results.load(sys.argv[1])))
