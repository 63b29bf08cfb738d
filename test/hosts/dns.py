# A name server that knows one address for all names, and can be slow.
#
#	dns.py ADDRESS PORT
import os, socket, sys, threading, time

slow = os.environ.get("SLOW_DNS", "")  # while there is such a file, answers come late
here = (sys.argv[1], int(sys.argv[2]))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(here)
ready = socket.create_server(here)  # nobody asks by TCP: it says that we are up


def answer(q, to):
    if os.path.exists(slow):
        time.sleep(0.2)
    s.sendto(q[:2] + b"\x81\x80" + q[4:6] + b"\0\1\0\0\0\0" + q[12:] + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1", to)


while True:
    q, to = s.recvfrom(512)
    threading.Thread(target=answer, args=(q, to), daemon=True).start()
