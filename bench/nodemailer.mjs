// nodemailer's pool, kept busy: twice as many mails under way as it has connections.
//
//   node bench/nodemailer.mjs '{"modules": …, "host": …, "port": …, "connections": 10, "messages": 5000, "file": …,
//                               "tls": false, "composing": false, "dkim": null | {"domain", "selector", "file"}}'
//
// The file holds a text of short ASCII lines. Each reader's mail is handed over as it is to be sent ("raw"), which
// costs nodemailer least; or, composing, made by nodemailer from its parts, as most of its users do: nothing in it
// needs encoding. Prints one JSON object.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const wanted = JSON.parse(process.argv[2]);
const nodemailer = createRequire(join(wanted.modules, "x.js"))("nodemailer");
const text = readFileSync(wanted.file, "ascii");
const transport = nodemailer.createTransport({
  pool: true,
  host: wanted.host,
  port: wanted.port,
  maxConnections: wanted.connections,
  maxMessages: Infinity,
  ignoreTLS: !wanted.tls,
  requireTLS: wanted.tls,
  tls: { rejectUnauthorized: false },
  ...(wanted.dkim && {
    dkim: {
      domainName: wanted.dkim.domain,
      keySelector: wanted.dkim.selector,
      privateKey: readFileSync(wanted.dkim.file, "ascii"),
    },
  }),
});
let number = 0;
let sent = 0;

function parts(reader, number) {
  return {
    from: "Bench <editors@example.org>",
    to: reader,
    messageId: `<${number}.nodemailer@bounces.example.org>`,
    subject: "A week in Vadaliny",
    headers: {
      "List-Unsubscribe": `<https://news.example.org/u/${number}>`,
      "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    },
    text,
  };
}

function whole(reader, number) {
  const mail = parts(reader, number);
  const head = {
    From: mail.from,
    To: mail.to,
    Subject: mail.subject,
    Date: "Mon, 23 Nov 2026 09:00:00 +0000",
    "Message-ID": mail.messageId,
    ...mail.headers,
    "MIME-Version": "1.0",
    "Content-Type": "text/plain; charset=utf-8",
  };
  return Object.entries(head).map(([name, value]) => `${name}: ${value}\r\n`).join("") + "\r\n" + text;
}

async function keepSending() {
  while (number < wanted.messages) {
    number += 1;
    const reader = `reader-${number}@d${number % 5000}.example`;
    await transport.sendMail({
      envelope: { from: `bounce+${number}@bounces.example.org`, to: reader },
      ...(wanted.composing ? parts(reader, number) : { raw: whole(reader, number) }),
    });
    sent += 1;
  }
}

await Promise.all(Array.from({ length: wanted.connections * 2 }, keepSending));
transport.close();
console.log(JSON.stringify({ sent }));
