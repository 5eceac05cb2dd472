#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The service behind the gateway: it answers any GET with an order of the user that x-user names.

It knows nothing of keys, rates or cards that must not be seen. `service.py PORT`; 0 is any free port.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Orders(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        user = self.headers.get("x-user")
        order = {
            "path": self.path,
            "user": user,
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


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 9000), Orders)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    pass
