# SPDX-License-Identifier: BSD-3-Clause
"""A plugin that speaks JSON lines: one entry for each thing that a line can say."""

import base64
import json
import os
import sys


def say(**line):
    print(json.dumps(line), flush=True)


def main():
    load = json.loads(sys.stdin.readline())
    config = load["config"]
    if "refuse" in config:
        return say(failed=config["refuse"])
    entries = ["echo", "request", "fail", "refuse", "log", "wait", "waited", "frame", "raw", "exit", "close"]
    entries += [{"name": name, "kind": "bidirectional", "help": "a stream"} for name in ("chat", "many", "breaks")]
    say(becket=1, name="lines", version="1.2.3", entries=entries)
    waiting, chats, noted = [], {}, []
    for line in sys.stdin:
        call = json.loads(line)
        id, entry = call.get("id"), call.get("entry")
        if "cancel" in call:
            noted.append(f"cancel {id in waiting or id in chats}")
        elif "data" in call:
            chats[id] += 1
            say(id=id, frame="echo: " + call["data"])
        elif "data64" in call:
            say(id=id, frame64=call["data64"])
        elif "close" in call:
            if id in chats:
                say(id=id, end=True, body=f"bye after {chats.pop(id)} messages")
        elif entry == "echo":
            key = "body64" if "body64" in call else "body"
            say(id=id, status="ok", **{key: call[key]})
        elif entry == "request":
            say(id=id, body={key: call[key] for key in sorted(call) if key not in ("id", "entry")})
        elif entry == "fail":
            say(id=id, status=int(call["body"]), body="failed on request")
        elif entry == "refuse":
            say(id=id, refused=call["body"])
        elif entry == "log":
            say(log="warn", message=call["body"], target="tests")
            say(id=id)
        elif entry == "wait":
            waiting.append(id)
        elif entry == "waited":
            say(id=id, body=noted)
        elif entry == "frame":
            say(id=id, frame="the first")
            say(id=id, frame="the second")
        elif entry == "raw":
            print(call["body"], flush=True)
        elif entry == "exit":
            os._exit(3)
        elif entry == "close":
            os.close(1)
        elif entry == "chat":
            chats[id] = 0
            say(id=id, frame="welcome")
        elif entry == "many":
            for number in range(int(call["body"])):
                say(id=id, frame=f"{number:01000}")
            say(id=id, end=True)
        elif entry == "breaks":
            say(id=id, frame="one")
            say(id=id, status="invalid", body="two")


main()
