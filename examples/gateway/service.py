#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The service behind the gateway: it answers any GET with an order of the user that x-user names.

It knows nothing of keys, rates, shares or cards that must not be seen. `service.py PORT`; 0 is any free port. With
`--until-stdin-ends` it ends with its stdin, however the process at the other end has ended.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Orders(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body go out in one write: as two, the second waits 40 ms for the first one's acknowledgement.
    wbufsize = -1

    def do_GET(self):
        user = self.headers.get("x-user")
        order = {
            "path": self.path,
            "user": user,
            "variant": self.headers.get("x-variant"),
            "key": self.headers.get("x-api-key"),
            "mail": f"{user}@example.com",
            "card": "4111 1111 1111 1111",
            "total": 1764040222000,
        }
        body = json.dumps(order).encode() + b"\n"
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


arguments = sys.argv[1:]
ends_with_stdin = "--until-stdin-ends" in arguments
port = [argument for argument in arguments if argument.isdecimal()] or ["9000"]
server = ThreadingHTTPServer(("127.0.0.1", int(port[0])), Orders)
print(f"http://127.0.0.1:{server.server_port}", flush=True)


def end_with_stdin():
    sys.stdin.read()
    server.shutdown()


if ends_with_stdin:
    threading.Thread(target=end_with_stdin, daemon=True).start()
try:
    server.serve_forever()
except KeyboardInterrupt:
    pass
