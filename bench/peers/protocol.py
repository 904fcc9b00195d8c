"""The side of lib/bench/peers.ts that a peer in Python has: commands on stdin, answers on stdout."""

import json
import os
import sys
import time
import traceback


class Unsupported(Exception):
    """A case that the peer cannot do."""


class Prepared:
    """A case whose result to compare is not that of its first call."""

    def __init__(self, call, result):
        self.call, self.result = call, result


def read(spec):
    with open(spec["path"], "rb") as file:
        return bytearray(file.read())


def timed(call):
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def failure(error):
    """Of this case only: memory, a compiler; the next may do."""
    traceback.print_exc()
    lines = str(error).strip().split("\n")
    return {"failed": f"{type(error).__name__}: {lines[0]}"}


def serve(hello, prepare, timed=timed):
    """hello(threads, device) names the version or says Unsupported; prepare(case, files) gives a call and the bytes of its float32 result."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    call = None
    for line in sys.stdin:
        command = json.loads(line)
        answer = {}
        if command["do"] == "hello":
            try:
                answer = {"version": hello(command["threads"], command["device"])}
            except Unsupported as reason:
                answer = {"absent": str(reason)}
        elif command["do"] == "prepare":
            call = None  # its memory is free before more is taken
            try:
                call, result = prepare(command["case"], command["files"])
                with open(command["result"], "wb") as file:
                    file.write(result)
            except Unsupported as reason:
                answer = {"unsupported": str(reason)}
            except Exception as error:
                answer = failure(error)
        elif command["do"] == "time":
            samples, end = [], time.perf_counter() + command["seconds"]
            try:
                while not samples or time.perf_counter() < end:
                    samples.append(timed(call))
                answer = {"samples": samples}
            except Exception as error:
                answer = failure(error)
        print(json.dumps(answer), file=answers, flush=True)
