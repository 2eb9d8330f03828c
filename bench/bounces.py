"""How well reports are read: compares what `mailer bounce classify` says with what is known to be true.

    python bench/bounces.py DIR TRUTH [--only FILE] [--wrong] [--json]

DIR holds one message a file; TRUTH is JSON: {file: [{"recipient", "alias"?, "hard", "reason", "feedback"?}, …]}. A file
counts as right in its recipients when exactly those are named (an alias counts for its recipient), and right in its
class when besides each is permanent exactly where it is hard, and a complaint, an automatic reply and a bounce are
told apart. The other three numbers must be 0.
"""

import argparse
import json
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mailer.inbound.incoming import Incoming, Kind
from mailer.inbound.reading import read

NOT_BOUNCES = {"feedback": Kind.COMPLAINT, "vacation": Kind.AUTO_REPLY, "delivered": Kind.OTHER}
SENDERS_FAULT = frozenset(
    [
        "authfailure",
        "badreputation",
        "blocked",
        "contenterror",
        "exceedlimit",
        "failedstarttls",
        "mesgtoobig",
        "norelaying",
        "notcompliantrfc",
        "policyviolation",
        "rejected",
        "requireptr",
        "securityerror",
        "spamdetected",
        "speeding",
        "syntaxerror",
        "toomanyconn",
        "virusdetected",
    ]
)


def main() -> None:
    wanted = arguments()
    truth = json.loads(wanted.truth.read_text())
    names = [name for name in sorted(truth) if wanted.only is None or name in wanted.only.read_text().split()]
    counted: Counter[str] = Counter()
    began = time.perf_counter()
    for name in names:
        for fault in score(name, wanted.dir / name, truth[name], counted):
            if wanted.wrong:
                print(fault)
    counted["seconds"] = round(time.perf_counter() - began)
    result = summary(counted, len(names))
    print(json.dumps(result) if wanted.json else "\n".join(f"{name:36} {value}" for name, value in result.items()))
    sys.exit(any(result[name] for name in MUST_BE_NONE))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--only", type=Path, help="a file with names of files: score only these")
    parser.add_argument("--wrong", action="store_true", help="print what is wrong, a line each")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


MUST_BE_NONE = ("sender's fault called permanent", "non-bounce called permanent", "exceptions")


def score(name: str, path: Path, true: Sequence[Mapping[str, Any]], counted: Counter[str]) -> Iterator[str]:
    """Counts one file; yields what is wrong with it."""
    try:
        incoming = read(path.read_bytes())
    except Exception:
        counted["exceptions"] += 1
        yield f"{name}: {traceback.format_exc()}"
        return
    said = {recipient.address.casefold(): recipient for recipient in incoming.recipients}
    matched = [next((said[each] for each in names_of(one) if each in said), None) for one in true]
    recipients_right = len(said) == len(true) and all(matched)
    classes_right = recipients_right and kind_is_right(incoming, true)
    for one, recipient in zip(true, matched, strict=True):
        if recipient is None:
            continue
        classes_right &= recipient.permanent == one["hard"]
        if recipient.permanent and one["reason"] in SENDERS_FAULT:
            counted["sender's fault called permanent"] += 1
            yield f"{name}: a sender's fault ({one['reason']}) called permanent: {recipient}"
        if recipient.permanent and one["reason"] in NOT_BOUNCES:
            counted["non-bounce called permanent"] += 1
            yield f"{name}: {one['reason']} called permanent: {recipient}"
    counted["recipients"] += recipients_right
    counted["classes"] += classes_right
    if not classes_right:
        wrong = "class" if recipients_right else "recipients"
        yield f"{name}: wrong {wrong}\n    true {list(true)}\n    said {incoming.kind} {incoming.recipients}"


def names_of(one: Mapping[str, Any]) -> list[str]:
    return [one[key].casefold() for key in ("recipient", "alias") if key in one]


def kind_is_right(incoming: Incoming, true: Sequence[Mapping[str, Any]]) -> bool:
    return all(incoming.kind is NOT_BOUNCES.get(one["reason"], Kind.BOUNCE) for one in true)


def summary(counted: Counter[str], files: int) -> dict[str, Any]:
    share = {name: f"{100 * counted[name] / max(files, 1):.1f} %" for name in ("recipients", "classes")}
    return {
        "files": files,
        "recipients right": share["recipients"],
        "recipients and class right": share["classes"],
        **{name: counted[name] for name in MUST_BE_NONE},
        "seconds": counted["seconds"],
    }


if __name__ == "__main__":
    main()
