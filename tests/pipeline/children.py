"""What the guard's tests run in a child."""

import os
import signal
import time


class OddError(Exception):
    def __init__(self, one, two):
        super().__init__(f"told in {one} {two}")


def open_child(settings):
    def work(item):
        kind, value = item
        if kind == "double":
            return 2 * value
        if kind == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        if kind == "spin":
            while True:
                pass
        if kind == "sleep":
            time.sleep(value)
            return "slept"
        if kind == "hog":
            return len(bytearray(value))
        if kind == "once":
            if not os.path.exists(value):
                open(value, "w").close()
                os._exit(3)
            return "second time"
        if kind == "pid":
            return os.getpid()
        if kind == "print":
            print("noise on stdout", flush=True)
            return "printed"
        if kind == "odd error":
            raise OddError("two", "parts")
        raise KeyError(kind)

    if settings == "broken":
        raise RuntimeError("no model")
    return work
