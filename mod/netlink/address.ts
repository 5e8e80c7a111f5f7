/*
 * IP and MAC addresses as rtnetlink carries them: 4 or 16 bytes in network order, and 6 bytes. The length tells the
 * family; nothing here knows prefixes or ports. Text follows RFC 5952 (IPv6) and dotted decimal (IPv4).
 */

/** `address` as text: "10.0.0.1", "fe80::1". 4 or 16 bytes, network order. */
export function addressText(address: Uint8Array): string {
  if (address.length === 4) return `${address[0]}.${address[1]}.${address[2]}.${address[3]}`;
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(address[i] << 8 | address[i + 1]);
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    return `::ffff:${addressText(address.subarray(12))}`; // RFC 5952 §5
  }
  const { start, count } = longestZeroRun(groups);
  if (count < 2) return hexGroups(groups); // RFC 5952 §4.2.2: a single zero group is not shortened
  return `${hexGroups(groups.slice(0, start))}::${hexGroups(groups.slice(start + count))}`;
}

function hexGroups(groups: number[]): string {
  return groups.map((group) => group.toString(16)).join(":");
}

/** First longest run of zero groups (RFC 5952 §4.2.3). */
function longestZeroRun(groups: number[]): { start: number; count: number } {
  let best = { start: 0, count: 0 };
  for (let start = 0; start < groups.length; start++) {
    let count = 0;
    while (start + count < groups.length && groups[start + count] === 0) count++;
    if (count > best.count) best = { start, count };
    if (count > 0) start += count - 1;
  }
  return best;
}

/** A short string equal for equal addresses and only for those: a Map key, not for people. */
export function addressKey(address: Uint8Array): string {
  const a = address;
  if (a.length === 4) return String.fromCharCode(a[0] << 8 | a[1], a[2] << 8 | a[3]);
  return String.fromCharCode(
    a[0] << 8 | a[1],
    a[2] << 8 | a[3],
    a[4] << 8 | a[5],
    a[6] << 8 | a[7],
    a[8] << 8 | a[9],
    a[10] << 8 | a[11],
    a[12] << 8 | a[13],
    a[14] << 8 | a[15],
  );
}

/** "02:6b:75:00:00:00" from 6 bytes. */
export function macText(mac: Uint8Array): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** 6 bytes from "02:6b:75:00:00:00"; null when it is no MAC address. */
export function parseMac(text: string): Uint8Array | null {
  if (!/^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$/.test(text)) return null;
  return Uint8Array.from(text.split(":").map((part) => parseInt(part, 16)));
}

/** Whether two addresses (IP or MAC) are the same bytes; null equals null. */
export function sameBytes(a: Uint8Array | null, b: Uint8Array | null): boolean {
  if (a === null || b === null) return a === b;
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
