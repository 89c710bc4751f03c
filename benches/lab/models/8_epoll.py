#!/usr/bin/env python3
"""Epoll: the kernel keeps the list, and a socket that becomes ready adds itself to a second list.

A connection is registered once. A call passes no sockets and returns only those that are ready; idle sockets
are never checked.
"""

import select

import page


def main():
    listener = page.listen()
    listener.setblocking(False)
    connections = {}
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    while True:
        for descriptor, _ in epoll.poll():
            if descriptor == listener.fileno():
                while new := page.accept(listener):
                    connections[new.fileno()] = page.Connection(new)
                    epoll.register(new, select.EPOLLIN)
                continue
            connection = connections[descriptor]
            waited = bool(connection.unsent)
            stays = connection.send() if waited else connection.receive()
            if not stays:
                epoll.unregister(descriptor)
                connections.pop(descriptor).socket.close()
            elif waited != bool(connection.unsent):
                epoll.modify(descriptor, select.EPOLLOUT if connection.unsent else select.EPOLLIN)


main()
