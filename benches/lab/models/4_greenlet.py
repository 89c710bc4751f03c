#!/usr/bin/env python3
"""Greenlet: a thread of our own making for every client.

The code reads as with threads, but where recv would wait, gevent switches to another greenlet. Beneath
is an event loop over epoll: this is model 8 with its turns hidden.
"""

import sys

try:
    import gevent
    from gevent import monkey
except ImportError:
    sys.exit("gevent is not installed")

monkey.patch_socket()  # before anything else takes hold of the real one

import page  # noqa: E402


def main():
    listener = page.listen()
    while True:
        connection = page.accept(listener)
        if connection:
            gevent.spawn(page.serve, connection)


main()
