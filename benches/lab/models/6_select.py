#!/usr/bin/env python3
"""Select: the kernel is asked once which of all sockets have something, and may let us sleep until one has.

The question is three bit sets with a bit for every descriptor. Each call hands all of them over, and the
kernel looks at each socket that is in them. The sets have 1024 bits: select cannot name descriptor 1024.
Python raises ValueError then, which ends this server, and so it should: there is no way on.
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
