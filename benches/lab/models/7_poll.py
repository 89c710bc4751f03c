#!/usr/bin/env python3
"""Poll: like select, but with a list of descriptors instead of bit sets.

There is no limit of 1024. But every call still passes the whole list to the kernel, and the kernel still checks
every socket in it, however few are ready.
"""

import select

import page


def main():
    listener = page.listen()
    listener.setblocking(False)
    connections = {}
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == listener.fileno():
                while new := page.accept(listener):
                    connections[new.fileno()] = page.Connection(new)
                    poll.register(new, select.POLLIN)
                continue
            connection = connections[descriptor]
            waited = bool(connection.unsent)
            stays = connection.send() if waited else connection.receive()
            if not stays:
                poll.unregister(descriptor)
                connections.pop(descriptor).socket.close()
            elif waited != bool(connection.unsent):
                poll.modify(descriptor, select.POLLOUT if connection.unsent else select.POLLIN)


main()
