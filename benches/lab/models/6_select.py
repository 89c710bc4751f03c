#!/usr/bin/env python3
"""Select: one call asks the kernel which of all sockets are ready, and sleeps until one is.

The arguments are three bit sets with one bit per descriptor. Every call passes them all, and the kernel checks
every socket in them. The sets have 1024 bits, so select cannot represent descriptor 1024. Python then raises
ValueError, which ends this server on purpose: it could not continue.
"""

import select

import page


def main():
    listener = page.listen()
    listener.setblocking(False)
    connections = {}
    reading, writing = {listener.fileno()}, set()
    while True:
        readable, writable, _ = select.select(reading, writing, [])
        for descriptor in readable + writable:
            if descriptor == listener.fileno():
                while new := page.accept(listener):
                    connections[new.fileno()] = page.Connection(new)
                    reading.add(new.fileno())
                continue
            connection = connections[descriptor]
            stays = connection.send() if connection.unsent else connection.receive()
            reading.discard(descriptor)
            writing.discard(descriptor)
            if stays:
                (writing if connection.unsent else reading).add(descriptor)
            else:
                connections.pop(descriptor).socket.close()


main()
