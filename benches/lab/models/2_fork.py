#!/usr/bin/env python3
"""Fork: a process for every client.

The child may block on its client, since it has no other. The price is a process per client: its own memory,
a place in the scheduler's queue, and a fork before the first byte.
"""

import os
import signal
import sys

import page

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def reap(children):
    """Reaps the children that have ended; until then they are zombies."""
    while children:
        pid, _ = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        children.discard(pid)


def main():
    listener = page.listen()
    children = set()
    # The parent ends its children before it exits.
    for number in SIGNALS:
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        while True:
            connection = page.accept(listener)
            reap(children)
            if connection is None:
                continue
            pid = os.fork()
            if pid == 0:
                children.clear()  # these belong to the parent
                for number in SIGNALS:
                    signal.signal(number, signal.SIG_DFL)
                listener.close()
                page.serve(connection)
                os._exit(0)
            children.add(pid)
            connection.close()  # the child has its own copy
    finally:
        for pid in children:
            os.kill(pid, signal.SIGTERM)


main()
