"""Whether a worker's memory grows with the readers: the peak of one with few, and of one with a million.

    python bench/memory.py --json
    python bench/memory.py --readers 10000 --readers 200000 --send 20000

Each worker begins the example's issue, sends so many of its mails (all, where it has fewer readers) into bench/sink.py
and is ended; its peak (VmHWM) is read before. The last line of stdout is one JSON object.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from bench import receivers
from bench.installation import Installation, schedule
from bench.processes import Failed, end_on_sigterm, until

LIMIT_SECONDS = 900


def main() -> None:
    wanted = arguments()
    end_on_sigterm()
    peaks = {}
    for readers in wanted.readers or (10_000, 1_000_000):
        print(f"{readers:,} readers", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="mailer-memory-", dir=wanted.folder) as folder:
            peaks[readers] = peak_mb(Path(folder), readers, min(readers, wanted.send))
    result = {
        "sent": wanted.send,
        "peak_mb": peaks,
        "difference_mb": round(max(peaks.values()) - min(peaks.values()), 1),
    }
    print(json.dumps(result) if wanted.json else "\n".join(f"{name:16} {value}" for name, value in result.items()))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--readers", type=int, action="append", help="may be repeated; 10,000 and 1,000,000 otherwise")
    add("--send", type=int, default=20_000, help="mails sent before the peak is read")
    add("--folder", help="where the database is made; by default the system's")
    add("--json", action="store_true", help="print one JSON object last")
    return parser.parse_args()


def peak_mb(folder: Path, readers: int, messages: int) -> float:
    """Of a worker that has sent so many of its issue's mails, in MB. Raises Failed."""
    url = f"sqlite:///{folder / 'mailer.db'}"
    schedule(url, readers)
    with receivers.own("127.0.0.1") as sink:
        relay = {"relay_host": sink.host, "relay_port": str(sink.port), "relay_tls": "off"}
        with Installation(folder, url, relay).worker() as worker:
            for _ in until(LIMIT_SECONDS, 0.05):
                peak = worker.peak_mb
                if sink.counted()[0] >= messages:
                    return peak
                if not worker.lives:
                    raise Failed(worker.complaint())
    raise Failed("the mails did not come")


if __name__ == "__main__":
    main()
