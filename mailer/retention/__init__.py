"""How long each kind of data is kept, and its end. The worker goes through the kinds once a day.

    kinds     the whole policy: what goes, after how many days, and what lets it go
    readers   requests, former readers, who is only on the suppression list, networks
    mail      the send log, and what came in
    running   going through them

Each portion is found by reading and removed in a transaction of its own, which looks again: a sender waits for one
portion at most, and whoever is killed goes on with the next one.
"""

from mailer.retention.kind import Kind
from mailer.retention.kinds import KINDS
from mailer.retention.running import run, standing

__all__ = ["KINDS", "Kind", "run", "standing"]
