"""What all models share, so that each file shows only its own idea: the page, the listener, and a
connection's two ways of speaking HTTP. Not an HTTP server: every request is taken for a GET of the page.
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
BACKLOG = 4096  # the kernel cuts it to net.core.somaxconn


def listen():
    """A listener on a free port of this machine, announced on standard output."""
    # Ctrl-C ends the program as SIGTERM does: at once, and without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    # An answer goes out at once, also while an earlier one is not yet acknowledged. Accepted sockets inherit it.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print("listening", listener.getsockname()[1], flush=True)
    return listener


spare = os.open(os.devnull, os.O_RDONLY)


def accept(listener):
    """The next connection, or None if there is none after all.

    With no descriptor left, the spare one is given up to accept the connection and close it. Left in the
    backlog, it would make the listener readable for ever.
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
        os.close(listener.accept()[0].detach())  # at once; gevent's close waits for its loop
    except OSError:
        pass  # it has gone by itself
    spare = os.open(os.devnull, os.O_RDONLY)
    return None


def take_answers(received):
    """Takes the whole request heads off the front of `received` and returns the answers to them."""
    count = received.count(HEAD_END)
    if count:
        del received[: received.rindex(HEAD_END) + len(HEAD_END)]
    if len(received) > HEAD_MAX:
        raise ConnectionError("the request head is too long")
    return RESPONSE * count


def serve(connection):
    """Serves a client on a blocking socket until it goes: recv and sendall wait for it."""
    received = bytearray()
    with connection:
        try:
            while more := connection.recv(RECEIVE_SIZE):
                received += more
                connection.sendall(take_answers(received))
        except OSError:
            pass  # a client that resets has gone, too


class Connection:
    """A client on a non-blocking socket. Its loop calls `receive` when there is something to receive and
    `send` while there is something `unsent`; both return False when the client has gone."""

    def __init__(self, connection):
        connection.setblocking(False)
        self.socket = connection
        self.received = bytearray()
        self.unsent = b""

    def receive(self):
        """Receives once, and sends what answers that calls for as far as the socket takes them."""
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
        """Sends what the socket takes and keeps the rest."""
        try:
            if self.unsent:
                self.unsent = self.unsent[self.socket.send(self.unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True
