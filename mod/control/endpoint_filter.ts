/** "10.0.0.1", "10.0.0.0/8", "10.0.0.1:80", "2001:db8::/32", "[2001:db8::1]:80": addresses and ports picked out. */

import { mappedLength, networkOf, parseAddress, parsePrefix } from "../config/address.ts";
import { ConfigError } from "../config/model.ts";

/** A prefix in the 16-byte form, and a port or null for every one. */
export interface EndpointRange {
  network: Uint8Array;
  bits: number;
  port: number | null;
}

/** Throws a ConfigError that calls it `what`. */
export function parseEndpointRange(what: string, text: string): EndpointRange {
  const [, v6, v4, digits] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const prefix = parsePrefix(v6 ?? v4 ?? text);
  const port = digits === undefined ? null : Number(digits);
  if (prefix === null || (port !== null && port > 65535)) {
    throw new ConfigError(
      what,
      text,
      "give an address, a prefix, or address:port such as 10.0.0.1:80 or [2001:db8::1]:80",
    );
  }
  return { network: networkOf(prefix).bytes, bits: mappedLength(prefix), port };
}

/** Whether the first `bits` of two addresses are the same. */
export function sharesBits(a: Uint8Array, b: Uint8Array, bits: number): boolean {
  const whole = bits >>> 3;
  for (let i = 0; i < whole; i++) if (a[i] !== b[i]) return false;
  const rest = bits & 7;
  return rest === 0 || ((a[whole] ^ b[whole]) & (0xff << (8 - rest))) === 0;
}

/** Whether an address in text and its port (null: none) are in the range. */
export function isInRange(
  { network, bits, port }: EndpointRange,
  address: string,
  own: number | null,
): boolean {
  return (port === null || port === own) && sharesBits(parseAddress(address)!.bytes, network, bits);
}
