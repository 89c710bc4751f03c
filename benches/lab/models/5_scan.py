#!/usr/bin/env python3
"""Scan: one thread tries every socket, again and again.

No client can block the server, since no call blocks. But every attempt is a system call, nearly all of them
return "nothing yet", and the loop keeps running when all clients are idle.
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
