#!/usr/bin/env python3
"""Thread: a thread for every client.

A thread may block on its client like a process, and is cheaper to create. But each thread has a stack, and
Python runs only one of them at a time (the global interpreter lock).
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
