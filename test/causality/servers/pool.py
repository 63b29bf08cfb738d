# One thread reads all requests and puts them into a queue; workers take them
# out, make the calls and write the answer.
import os, queue, selectors, socket, sys, threading
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import common

port = common.setup(sys.argv)
q = queue.Queue()


def work():
    calls = common.Calls()
    while True:
        c, nonce = q.get()
        calls.all(nonce)
        common.answer(c, nonce)


for _ in range(8):
    threading.Thread(target=work, daemon=True).start()
s = socket.create_server(("127.0.0.1", port), backlog=512)
sel = selectors.DefaultSelector()
sel.register(s, selectors.EVENT_READ)
while True:
    for key, _ in sel.select():
        if key.fileobj is s:
            c, _ = s.accept()
            sel.register(c, selectors.EVENT_READ)
            continue
        c = key.fileobj
        nonce, _ = common.read_request(c, b"")
        if nonce is None:
            sel.unregister(c)
            c.close()
        else:
            q.put((c, nonce))
