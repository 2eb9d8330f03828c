"""GNU Mailman 3's VERP delivery: its own class, a real list in a database of its own, one connection.

    .bench/mailman/bin/python bench/verp.py '{"host": …, "port": …, "messages": 500, "file": …, "folder": …}'

Runs in Mailman's virtual environment. The readers are no members of the list, which spares Mailman a look at each.
Prints one JSON object.
"""

import json
import sys
from email import message_from_string
from pathlib import Path

from mailman.app.lifecycle import create_list
from mailman.core.initialize import initialize
from mailman.database.transaction import transaction
from mailman.email.message import Message
from mailman.interfaces.domain import IDomainManager
from mailman.mta.verp import VERPDelivery
from zope.component import getUtility

SETTINGS = """\
[mailman]
layout: bench
[paths.bench]
var_dir: {folder}/mailman
[mta]
incoming: mailman.mta.null.NullMTA
smtp_host: {host}
smtp_port: {port}
max_sessions_per_connection: 0
"""


def main() -> None:
    wanted = json.loads(sys.argv[1])
    settings = Path(wanted["folder"]) / "mailman.cfg"
    settings.write_text(SETTINGS.format(**wanted))
    initialize(str(settings))
    with transaction():
        getUtility(IDomainManager).add("example.org")
        mailing_list = create_list("bench@example.org")
    head = "From: editors@example.org\nTo: bench@example.org\nSubject: A week\nMessage-ID: <1.verp@example.org>\n\n"
    mail = message_from_string(head + Path(wanted["file"]).read_text(), Message)
    readers = {f"reader-{number}@d{number % 5000}.example" for number in range(1, wanted["messages"] + 1)}
    refused = VERPDelivery().deliver(mailing_list, mail, {"recipients": readers, "verp": True})
    print(json.dumps({"sent": len(readers) - len(refused)}))


if __name__ == "__main__":
    main()
