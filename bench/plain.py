"""aiosmtplib as it comes, on some connections: the contestant that a Python program would write first.

    python bench/plain.py '{"host": …, "port": …, "connections": 10, "messages": 500, "file": …, "tls": false}'

The file holds a whole mail; each reader gets it with their own To and Message-ID. Prints one JSON object.
"""

import asyncio
import json
import ssl
import sys
from itertools import count
from pathlib import Path
from typing import Any

import aiosmtplib

from bench import loops


async def send(wanted: dict[str, Any], mail: bytes) -> None:
    numbers = iter(range(1, wanted["messages"] + 1))
    sent = count()

    async def connection() -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        client = aiosmtplib.SMTP(
            hostname=wanted["host"], port=wanted["port"], start_tls=wanted["tls"], tls_context=context
        )
        async with client:
            for number in numbers:
                reader = f"reader-{number}@d{number % 5000}.example"
                head = f"To: {reader}\r\nMessage-ID: <{number}.plain@bounces.example.org>\r\n".encode()
                await client.sendmail("bounces@bounces.example.org", [reader], head + mail)
                next(sent)

    await asyncio.gather(*(connection() for _ in range(wanted["connections"])))
    print(json.dumps({"sent": next(sent)}))


if __name__ == "__main__":
    described = json.loads(sys.argv[1])
    loops.run(send(described, Path(described["file"]).read_bytes()))
