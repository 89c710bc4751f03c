#!/usr/bin/env python3
"""Thread: a thread for every client.

A thread may wait for its client as a process may, and is cheaper to make. But each has a stack, and
Python lets only one of them run at a time (the global interpreter lock).
"""

import threading

import page


def main():
    listener = page.listen()
    while True:
        connection = page.accept(listener)
        if connection:
            # Daemon threads do not keep the program from ending.
            threading.Thread(target=page.serve, args=(connection,), daemon=True).start()


main()
