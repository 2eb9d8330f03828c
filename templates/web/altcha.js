/* Solves altcha's proof of work (version 2, PBKDF2/SHA-256) for the form that carries a challenge. The same file is the
   page's script and, in its worker, the one that computes. Without it, or in a browser that lacks what it needs, the
   page says what to do instead. */
"use strict";

(() => {
  const octets = (hex) => Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16));
  const hex = (buffer) => Array.from(new Uint8Array(buffer), (octet) => octet.toString(16).padStart(2, "0")).join("");

  async function solve({ nonce, salt, cost, keyLength, keyPrefix }) {
    const start = octets(nonce);
    const password = new Uint8Array(start.length + 4);
    password.set(start);
    const view = new DataView(password.buffer);
    const how = { name: "PBKDF2", hash: "SHA-256", salt: octets(salt), iterations: cost };
    for (let counter = 0; ; counter++) {
      view.setUint32(start.length, counter);
      const key = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
      const derivedKey = hex(await crypto.subtle.deriveBits(how, key, keyLength * 8));
      if (derivedKey.startsWith(keyPrefix)) return { counter, derivedKey };
    }
  }

  if (typeof document === "undefined") {
    onmessage = async ({ data }) => postMessage(await solve(data));
    return;
  }

  const script = document.currentScript;
  const form = document.querySelector("form[data-working]");
  if (!form || !window.Worker || !window.isSecureContext) return;
  const { challenge } = JSON.parse(atob(form.elements.altcha.value));
  const status = document.getElementById("work");
  const worker = new Worker(script.src);
  let pressed = false;
  let solved = false;
  status.textContent = form.dataset.working;
  form.addEventListener("submit", (event) => {
    if (solved) return;
    event.preventDefault(); /* it goes on by itself once the work is done */
    pressed = true;
  });
  worker.onmessage = ({ data }) => {
    form.elements.altcha.value = btoa(JSON.stringify({ challenge, solution: data }));
    solved = true;
    status.textContent = form.dataset.done;
    if (pressed) form.submit();
  };
  worker.onerror = () => {
    solved = true; /* the slow way is open: what the page said before holds again */
    status.textContent = form.dataset.failed;
  };
  worker.postMessage(challenge.parameters);
})();
