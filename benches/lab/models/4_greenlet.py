#!/usr/bin/env python3
"""Greenlet: a user-space thread for every client.

The code reads like that with threads, but where recv would block, gevent switches to another greenlet.
Underneath is an event loop over epoll: this is model 8 with its turns hidden.
"""

import sys

try:
    import gevent
    from gevent import monkey
except ImportError:
    sys.exit("gevent is not installed")

monkey.patch_socket()  # before any other module imports the real one

import page  # noqa: E402


def main():
    listener = page.listen()
    while True:
        connection = page.accept(listener)
        if connection:
            gevent.spawn(page.serve, connection)


main()
