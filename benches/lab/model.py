"""The models in the race, in the order in which the teaching notes introduce them."""

import os
from dataclasses import dataclass

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "models")


@dataclass(frozen=True)
class Model:
    name: str
    file: str = ""  # in models/; empty for evserve
    most: int = 1_000_000  # the maximum number of connections
    why: str = ""  # the reason for the maximum


MODELS = [
    Model("sequential", "1_sequential.py"),
    Model("fork", "2_fork.py", 1_000, "one process per connection"),
    Model("thread", "3_thread.py", 1_000, "one thread per connection"),
    Model("greenlet", "4_greenlet.py"),
    Model("scan", "5_scan.py"),
    Model("select", "6_select.py"),
    Model("poll", "7_poll.py"),
    Model("epoll", "8_epoll.py"),
    Model("evserve-poll"),
    Model("evserve"),
]

NAMES = [model.name for model in MODELS]
BASELINE = "evserve"
