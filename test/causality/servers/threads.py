# One thread a connection, blocking.
import os, socket, sys, threading
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import common

port = common.setup(sys.argv)


def serve(c):
    calls, buf = common.Calls(), b""
    while True:
        nonce, buf = common.read_request(c, buf)
        if nonce is None:
            return
        calls.all(nonce)
        common.answer(c, nonce)


s = socket.create_server(("127.0.0.1", port), backlog=512)
while True:
    c, _ = s.accept()
    threading.Thread(target=serve, args=(c,), daemon=True).start()
