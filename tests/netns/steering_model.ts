/*
 * The rules of ffi/bpf/match.h again, slow and plain: what the steering programs are compared with. Shares no code
 * with them or with mod/.
 */

import type { SteeringKey } from "../../mod/xdp/steering_keys.ts";
import type { Answer } from "../packets/filter_model.ts";

const ICMP = 1, TCP = 6, UDP = 17, FRAGMENT = 44, AH = 51, ICMPV6 = 58, SCTP = 132;
/** Bytes into the frame at which a header may at most begin. */
const MAX_AT = 1024;

/** In an echo the asker's identifier is its port. */
interface Parsed extends Answer {
  kind: "plain" | "fragment" | "echo" | "error" | "neighbor";
  innerAt: number;
}

function u16(bytes: Uint8Array, at: number): number {
  return bytes[at] << 8 | bytes[at + 1];
}

function mapped(bytes: Uint8Array): Uint8Array {
  return bytes.length === 16 ? bytes : Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, ...bytes);
}

function parse(bytes: Uint8Array, at: number, isIp6: boolean): Parsed | null {
  if (at + (isIp6 ? 40 : 20) > bytes.length || bytes[at] >> 4 !== (isIp6 ? 6 : 4)) return null;
  const addressAt = at + (isIp6 ? 8 : 12), addressBytes = isIp6 ? 16 : 4;
  const parsed: Parsed = {
    source: mapped(bytes.slice(addressAt, addressAt + addressBytes)),
    destination: mapped(bytes.slice(addressAt + addressBytes, addressAt + 2 * addressBytes)),
    protocol: bytes[at + (isIp6 ? 6 : 9)],
    sourcePort: 0,
    destinationPort: 0,
    kind: "plain",
    innerAt: 0,
  };
  let next = at + 40;
  if (!isIp6) {
    const words = bytes[at] & 15;
    if (words < 5) return null;
    next = at + words * 4;
    if ((u16(bytes, at + 6) & 0x3fff) !== 0) parsed.kind = "fragment";
  } else {
    for (let i = 0; [0, 43, 60, FRAGMENT, AH].includes(parsed.protocol); i++) {
      if (i === 7 || next + 8 > bytes.length) return null;
      const extension = parsed.protocol;
      const isPiece = extension === FRAGMENT && (u16(bytes, next + 2) & 0xfff9) !== 0;
      parsed.protocol = bytes[next];
      next += extension === FRAGMENT
        ? 8
        : extension === AH
        ? (bytes[next + 1] + 2) * 4
        : (bytes[next + 1] + 1) * 8;
      if (next > MAX_AT) return null;
      if (isPiece) {
        parsed.kind = "fragment";
        break;
      }
    }
  }
  return parsed.kind === "fragment" ? parsed : withTransport(parsed, bytes, next, isIp6);
}

function withTransport(parsed: Parsed, bytes: Uint8Array, at: number, isIp6: boolean): Parsed | null {
  if (at > MAX_AT) return null;
  if ([TCP, UDP, SCTP].includes(parsed.protocol)) {
    if (at + 4 > bytes.length) return null;
    parsed.sourcePort = u16(bytes, at);
    parsed.destinationPort = u16(bytes, at + 2);
  } else if (parsed.protocol === (isIp6 ? ICMPV6 : ICMP)) {
    if (at + 8 > bytes.length) return null;
    const type = bytes[at];
    if ((isIp6 ? [1, 2, 3, 4] : [3, 11, 12]).includes(type)) parsed.kind = "error";
    else if (type === (isIp6 ? 128 : 8)) parsed.kind = "echo";
    else if (isIp6 && (type >= 130 && type <= 137 || type === 143)) parsed.kind = "neighbor";
    if (parsed.kind === "echo") parsed.sourcePort = u16(bytes, at + 4);
    if (type === (isIp6 ? 129 : 0)) parsed.destinationPort = u16(bytes, at + 4);
    parsed.innerAt = at + 8;
  }
  return parsed;
}

function isWithin(address: Uint8Array, key: SteeringKey): boolean {
  for (let bit = 0; bit < key.prefixLength; bit++) {
    if (((address[bit >> 3] ^ key.address[bit >> 3]) >> (7 - (bit & 7)) & 1) !== 0) return false;
  }
  return true;
}

function holds(keys: readonly SteeringKey[], address: Uint8Array, parsed: Parsed, port: number): boolean {
  return keys.some((key) => {
    if (!isWithin(address, key)) return false;
    if (parsed.kind === "fragment" || (parsed.kind === "echo" && key.prefixLength === 128)) return true;
    return key.protocol === 0 || (key.protocol === parsed.protocol && key.port === port);
  });
}

/** Whether the frame is ku's, on an interface with this MAC and `nat4` and `nat6 in`. `isAwaited`: what the filter says of an answer. */
export function isSteered(
  frame: Uint8Array,
  mac: Uint8Array,
  match: readonly SteeringKey[],
  pods: readonly SteeringKey[],
  isAwaited: (answer: Answer) => boolean,
): boolean {
  if (mac.some((byte, i) => frame[i] !== byte)) return false;
  const at = u16(frame, 12) === 0x8100 ? 18 : 14;
  if (frame.length < at) return false;
  const type = u16(frame, at - 2), isIp6 = type === 0x86dd;
  if (type !== 0x0800 && !isIp6) return false;
  const parsed = parse(frame, at, isIp6);
  if (parsed === null || parsed.kind === "neighbor") return false;
  const podHolds = (address: Uint8Array, of: Parsed, port: number) =>
    holds(pods, address, of.kind === "echo" ? { ...of, kind: "plain" } : of, port);
  if (parsed.kind !== "error") {
    if (holds(match, parsed.destination, parsed, parsed.destinationPort)) return true;
    return podHolds(parsed.source, parsed, parsed.sourcePort) &&
      (parsed.kind === "fragment" || isAwaited(parsed));
  }
  const inner = parse(frame, parsed.innerAt, isIp6);
  if (inner === null || inner.kind === "error" || inner.kind === "neighbor") return false;
  return podHolds(inner.destination, inner, inner.destinationPort) ||
    holds(match, inner.source, inner, inner.sourcePort);
}
