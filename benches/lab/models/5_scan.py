#!/usr/bin/env python3
"""Scan: one thread asks every socket, again and again, whether it has something.

No client can hold it up, since no call waits. But each question is a system call, nearly all of them are
answered with "nothing yet", and it goes on asking when nobody has anything to say.
"""

import page


def main():
    listener = page.listen()
    listener.setblocking(False)
    connections = set()
    while True:
        while new := page.accept(listener):
            connections.add(page.Connection(new))
        gone = []
        for connection in connections:
            stays = connection.send() if connection.unsent else connection.receive()
            if not stays:
                gone.append(connection)
        for connection in gone:
            connection.socket.close()
            connections.remove(connection)


main()
