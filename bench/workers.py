"""`mailer worker`, again and again, its modules loaded once: each line on stdin starts one, in a process of its own.

Prints its process id, and its exit code (negative: the signal's number) when it has ended.
"""

import os
import sys

from mailer.cli.main import main

if __name__ == "__main__":
    sys.argv = ["mailer", "worker"]
    print("ready", flush=True)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            main()
            sys.exit()
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
