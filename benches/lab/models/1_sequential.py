#!/usr/bin/env python3
"""Sequential: one client at a time, until it disconnects.

While the server waits for the next request of this client, it serves no other client. A client that keeps an
idle connection open blocks the server.
"""

import page


def main():
    listener = page.listen()
    while True:
        connection = page.accept(listener)
        if connection:
            page.serve(connection)


main()
