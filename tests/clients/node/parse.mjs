// Prints what JSON.parse reads in messages: one message in hex per input line, one JSON answer per
// line.

import { createInterface } from "node:readline";

const CLAIM = "io.modelcontextprotocol/protocolVersion";

const own = (value, key) =>
  value !== null && typeof value === "object" && Object.hasOwn(value, key) ? value[key] : null;
const text = (value) => (typeof value === "string" ? value : null);

function see(message) {
  const params = own(message, "params");
  const [hasMethod, hasId] = [Object.hasOwn(message, "method"), Object.hasOwn(message, "id")];
  return {
    kind: hasMethod ? (hasId ? "Request" : "Notification") : "Response",
    method: own(message, "method"),
    id: own(message, "id"),
    claim: text(own(own(params, "_meta"), CLAIM)),
    name: text(own(params, "name")),
    uri: text(own(params, "uri")),
  };
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(decoder.decode(Buffer.from(line, "hex")));
  process.stdout.write(`${JSON.stringify(see(message))}\n`);
}
