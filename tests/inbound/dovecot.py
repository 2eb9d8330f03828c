"""A real Dovecot with a configuration, a mailbox and a port of its own; and a wire that breaks when it is told to."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

PASSWORD = "open-sesame"

_CONFIG = """\
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/log
protocols = imap pop3
listen = 127.0.0.1
ssl = {ssl}
{certificate}
disable_plaintext_auth = no
auth_failure_delay = 0
mail_location = maildir:{folder}/mail
first_valid_uid = 100
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3_port}
  }}
  inet_listener pop3s {{
    port = {pop3s_port}
  }}
}}
service stats {{
  chroot =
}}
service anvil {{
  chroot =
}}
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home={folder}/mail
}}
"""


@dataclass(frozen=True)
class Ports:
    imap: int
    pop3: int


def why_not() -> str | None:
    """Why Dovecot cannot be started here, or None."""
    if shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        return "there is no Dovecot; install the packages dovecot-imapd and dovecot-pop3d to run this test"
    if not Path("/usr/lib/dovecot/pop3").exists():
        return "there is no POP3 in this Dovecot; install the package dovecot-pop3d to run this test"
    if os.geteuid() != 0:
        return "Dovecot can only be started by root"
    return None


def other_version() -> str | None:
    """Why this Dovecot does not understand our configuration, or None: 2.4 has a language of its own."""
    told = subprocess.run(["/usr/sbin/dovecot", "--version"], capture_output=True, text=True, check=True).stdout
    return None if told.startswith("2.3.") else f"the tests configure Dovecot 2.3, and this is {told.strip()}"


@contextlib.contextmanager
def running(
    *,
    port: int,
    pop3_port: int = 0,
    tls_port: int = 0,
    pop3s_port: int = 0,
    certificate: tuple[Path, Path] | None = None,
) -> Iterator[None]:
    """Anybody's mailbox, with PASSWORD: at `port` and `tls_port` by IMAP, at `pop3_port` and `pop3s_port` by POP3."""
    folder = Path(tempfile.mkdtemp(prefix="mailer-dovecot-"))
    folder.chmod(0o755)
    (folder / "mail").mkdir()
    shutil.chown(folder / "mail", 65534, 65534)
    told = f"ssl_cert = <{certificate[0]}\nssl_key = <{certificate[1]}" if certificate else ""
    ports = {"port": port, "pop3_port": pop3_port, "tls_port": tls_port, "pop3s_port": pop3s_port}
    tls = {"ssl": "yes" if certificate else "no", "certificate": told}
    config = folder / "dovecot.conf"
    config.write_text(_CONFIG.format(folder=folder, password=PASSWORD, **ports, **tls))
    process = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", str(config)])
    try:
        _wait_for(port)
        yield
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(port: int) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
            return
        time.sleep(0.1)
    raise AssertionError("Dovecot does not answer")


class BreakingWire:
    """Stands between a client and the server at `to`. Breaks the connection, once, when the client says `breaks_at`;
    and lets nothing through any more where that is only to be `silent`."""

    def __init__(self, to: int) -> None:
        self.breaks_at: bytes | None = None
        self.silent = False
        self.before = dict[bytes, Callable[[], None]]()  #: what is done, once, before the server hears a word
        self.broke = 0
        self.connected = 0
        self.said = b""  #: by clients
        self._to = to
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connected += 1
                server = socket.create_connection(("127.0.0.1", self._to))
                threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, from_client: bool) -> None:
        with contextlib.suppress(OSError):
            while octets := source.recv(65536):
                if from_client:
                    self.said += octets
                    for word in [each for each in self.before if each in octets]:
                        self.before.pop(word)()
                if from_client and self.breaks_at and self.breaks_at in octets:
                    self.breaks_at, self.broke = None, self.broke + 1
                    if self.silent:
                        source.recv(1)  # until the client gives up
                    break
                sink.sendall(octets)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
