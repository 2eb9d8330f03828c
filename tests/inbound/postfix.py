"""A real Postfix with a configuration, a queue and ports of its own, on the loopback."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

DAEMONS = Path("/usr/lib/postfix/sbin")

_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
daemon_directory = {daemons}
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = relay.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
disable_dns_lookups = yes
smtp_host_lookup = native
alias_maps =
local_recipient_maps =
smtpd_reject_unlisted_recipient = no
virtual_mailbox_domains = near.example
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = inline:{{ here@near.example=here/ }}
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
transport_maps = inline:{{ bounces.example.org=lmtp:[127.0.0.1]:{receiver}, far.example=smtp:[127.0.0.1]:{far} }}
lmtp_destination_recipient_limit = 1
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
delay_warning_time = 1s
"""

_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
postlog unix-dgram n - n - 1 postlogd
"""


def why_not() -> str | None:
    """Why Postfix cannot be started here, or None."""
    if shutil.which("postfix", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None or not DAEMONS.is_dir():
        return "there is no Postfix; install the package postfix to run this test"
    if os.geteuid() != 0:
        return "Postfix can only be started by root"
    return None


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running(*, port: int, receiver: int, far: int) -> Iterator[Path]:
    """Takes mail at `port`; hands what is for bounces.example.org to `receiver`, by LMTP, and asks the server at `far`
    about far.example; here@near.example is a mailbox. Yields its folder."""
    folder = Path(tempfile.mkdtemp(prefix="mailer-postfix-"))
    folder.chmod(0o755)
    config = folder / "config"
    for name in ("config", "queue", "data", "mail"):
        (folder / name).mkdir(mode=0o755)
    shutil.chown(folder / "data", "postfix")
    shutil.chown(folder / "mail", 65534, 65534)
    (config / "main.cf").write_text(_MAIN.format(folder=folder, daemons=DAEMONS, receiver=receiver, far=far))
    (config / "master.cf").write_text(_MASTER.format(port=port))
    command = ["/usr/sbin/postfix", "-c", str(config)]
    try:
        subprocess.run([*command, "start"], check=True, capture_output=True, timeout=60)
        yield folder
    finally:
        subprocess.run([*command, "stop"], check=False, capture_output=True, timeout=60)
        shutil.rmtree(folder, ignore_errors=True)
