"""The parts that all models share, so that each file shows only its own idea: the page, the listener, and HTTP
over blocking and non-blocking sockets. Not a real HTTP server: every request counts as a GET of the page.
"""

import errno
import os
import resource
import signal
import socket

BODY = (b"<!DOCTYPE html><title>The lab</title>" + b"<p>One page, many models.</p>" * 64)[:1024]
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)

HEAD_END = b"\r\n\r\n"
HEAD_MAX = 16 * 1024
RECEIVE_SIZE = 4096
BACKLOG = 4096  # the kernel limits it to net.core.somaxconn


def listen():
    """Returns a listener on a free local port, and prints the port on standard output."""
    # Ctrl-C ends the program as SIGTERM does: immediately, without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    # Sends a response even while an earlier one is unacknowledged. Accepted sockets inherit the option.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print("listening", listener.getsockname()[1], flush=True)
    return listener


spare = os.open(os.devnull, os.O_RDONLY)


def accept(listener):
    """Returns the next connection, or None if there is none.

    With no descriptor left, the spare one is closed in order to accept the connection and close it. If the
    connection stayed in the backlog, the listener would stay readable.
    """
    global spare
    try:
        return listener.accept()[0]
    except (BlockingIOError, ConnectionAbortedError):
        return None
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
    os.close(spare)
    try:
        os.close(listener.accept()[0].detach())  # immediately; gevent's close waits for its loop
    except OSError:
        pass  # the client has already gone
    spare = os.open(os.devnull, os.O_RDONLY)
    return None


def take_answers(received):
    """Removes the complete request heads from the front of `received` and returns their responses."""
    count = received.count(HEAD_END)
    if count:
        del received[: received.rindex(HEAD_END) + len(HEAD_END)]
    if len(received) > HEAD_MAX:
        raise ConnectionError("the request head is too long")
    return RESPONSE * count


def serve(connection):
    """Serves a client on a blocking socket until it disconnects."""
    received = bytearray()
    with connection:
        try:
            while more := connection.recv(RECEIVE_SIZE):
                received += more
                connection.sendall(take_answers(received))
        except OSError:
            pass  # after a reset, the client has gone, too


class Connection:
    """A client on a non-blocking socket. The loop calls `receive` when the socket is readable, and `send` while
    `unsent` is not empty; both return False when the client has gone."""

    def __init__(self, connection):
        connection.setblocking(False)
        self.socket = connection
        self.received = bytearray()
        self.unsent = b""

    def receive(self):
        """Receives once, and sends as much of the responses as the socket accepts."""
        try:
            more = self.socket.recv(RECEIVE_SIZE)
            if not more:
                return False
            self.received += more
            self.unsent = take_answers(self.received)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return self.send()

    def send(self):
        """Sends as much as the socket accepts and keeps the rest."""
        try:
            if self.unsent:
                self.unsent = self.unsent[self.socket.send(self.unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True
