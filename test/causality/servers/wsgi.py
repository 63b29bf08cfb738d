# An application for gunicorn: its workers are processes, each with one request
# at a time.
import os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import common

common.setup([None, "0"] + os.environ["UPSTREAMS"].split())
calls = None


def application(environ, start_response):
    global calls
    if calls is None:  # in the worker, not in its parent
        calls = common.Calls()
    nonce = environ["PATH_INFO"].rsplit("/", 1)[1]
    calls.all(nonce)
    body = nonce.encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
