#!/usr/bin/env python3
"""Sequential: one client at a time, to its end.

While it waits for this client's next request, nobody else is served. A client that keeps its connection
open and says nothing holds the server for as long as it likes.
"""

import page


def main():
    listener = page.listen()
    while True:
        connection = page.accept(listener)
        if connection:
            page.serve(connection)


main()
