#!/usr/bin/env python3
"""Epoll: the kernel keeps the list, and a socket that gets something puts itself on a second one.

A connection is registered once. Each call hands nothing over and brings back only the sockets that have
something; what is idle is not looked at, by anybody.
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
