/**
 * The transport header of a packet quoted by an ICMP error, of which eight bytes may be all there is.
 *
 * References: RFC 792 (64 bits of the quoted datagram), RFC 4443 §3, RFC 5508 §4.
 *
 * @module
 */

import { ICMP_CHECKSUM, ICMP_ID } from "../wire/icmp.ts";
import { IP_PROTOCOL_ICMPV6, IP_PROTOCOL_SCTP, IP_PROTOCOL_TCP, IP_PROTOCOL_UDP } from "../wire/protocol.ts";
import { TCP_CHECKSUM } from "../wire/tcp.ts";
import { UDP_CHECKSUM } from "../wire/udp.ts";
import { SUM_ZERO, updatedChecksum } from "./rewrite.ts";

/** What is needed of a quote's transport header: its ports, or type and identifier. */
export const QUOTED_TRANSPORT_BYTES = 8;
/** How far behind the quoted IP header a rewriting may reach: past TCP's checksum. */
export const REWRITTEN_TRANSPORT_BYTES = 20;

/**
 * Writes ports, or the identifier of an `echo`, into the quoted transport header at `l4`, and carries its checksum along as far as
 * the quote, which ends before `end`, holds it. `before` and `after` are sums of the quoted addresses. A quoted SCTP checksum
 * cannot be updated, since it covers bytes that are not there.
 */
export function rewriteQuotedTransport(
  view: DataView,
  l4: number,
  end: number,
  protocol: number,
  echo: boolean,
  ports: number,
  before: number,
  after: number,
): void {
  let checksumAt = 0;
  let difference = SUM_ZERO - before + after;
  if (protocol === IP_PROTOCOL_TCP || protocol === IP_PROTOCOL_UDP || protocol === IP_PROTOCOL_SCTP) {
    const old = view.getInt32(l4);
    view.setInt32(l4, ports);
    if (protocol === IP_PROTOCOL_TCP) checksumAt = l4 + TCP_CHECKSUM;
    else if (protocol === IP_PROTOCOL_UDP) checksumAt = l4 + UDP_CHECKSUM;
    difference += (ports >>> 16) + (ports & 0xffff) - (old >>> 16) - (old & 0xffff);
  } else if (echo) {
    const id = (ports >>> 16) | (ports & 0xffff); // one half is 0
    const old = view.getUint16(l4 + ICMP_ID);
    view.setUint16(l4 + ICMP_ID, id);
    checksumAt = l4 + ICMP_CHECKSUM;
    if (protocol !== IP_PROTOCOL_ICMPV6) difference = SUM_ZERO; // ICMP's checksum does not cover addresses
    difference += id - old;
  }
  if (checksumAt === 0 || checksumAt + 2 > end) return;
  const field = view.getUint16(checksumAt);
  if (field === 0 && protocol === IP_PROTOCOL_UDP) return;
  view.setUint16(checksumAt, updatedChecksum(field, difference, protocol === IP_PROTOCOL_UDP));
}
