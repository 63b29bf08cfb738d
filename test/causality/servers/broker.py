# A producer or a consumer of NATS, with as much of its protocol as that takes.
#
#	broker.py produce|consume PORT COUNT
import socket, sys

what, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
s = socket.create_connection(("127.0.0.1", port))
f = s.makefile("rb")
f.readline()  # INFO
s.sendall(b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\nPING\r\n')
while f.readline() != b"PONG\r\n":
    pass
if what == "consume":
    s.sendall(b"SUB orders 1\r\nPING\r\n")
    while f.readline() != b"PONG\r\n":
        pass
    print("subscribed", flush=True)
    while count > 0:
        line = f.readline().split()
        if line[0] == b"PING":
            s.sendall(b"PONG\r\n")
        else:  # HMSG subject sid headers all
            f.read(int(line[-1]) + 2)
            count -= 1
    print("consumed", flush=True)
else:
    for i in range(count):
        head, body = b"NATS/1.0\r\nNats-Msg-Id: m%d\r\n\r\n" % i, b"order %d" % i
        s.sendall(b"HPUB orders %d %d\r\n%s%s\r\n" % (len(head), len(head) + len(body), head, body))
        s.sendall(b"PING\r\n")
        while True:
            line = f.readline()
            if line == b"PING\r\n":
                s.sendall(line.replace(b"I", b"O"))
            elif line == b"PONG\r\n":
                break
s.close()
