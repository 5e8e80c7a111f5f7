/**
 * What `ku show offload` and the session lists say of the kernel's share; the rest of the protocol is in protocol.ts.
 *
 * @module
 */

/** Packets and bytes of IP packets, to the pod and back. */
export interface KernelCounts {
  packets: number;
  bytes: number;
  replyPackets: number;
  replyBytes: number;
}

/** `ku show offload`: what the kernel repeats. */
export interface ShowOffload {
  enabled: boolean;
  /** Sessions that it may repeat, and does. */
  capacity: number;
  used: number;
  /** Sessions given to it since the start, on average a second since the last look, and those that found no room. */
  installs: number;
  installsPerSecond: number;
  refused: number;
  /** Packets repeated since the start, and their bytes. */
  hits: number;
  hitBytes: number;
  /** Packets of services that were left to the rings, by reason, since the programs were loaded. */
  misses: OffloadMisses;
}

export interface OffloadMisses {
  /** No session that the kernel repeats. */
  unknown: number;
  /** A fragment, options, extension headers, a tag, another protocol, malformed. */
  unusual: number;
  /** TCP SYN or RST. */
  flags: number;
  /** The session had been silent too long. */
  expired: number;
  ttl: number;
  tooBig: number;
  /** The interface it left by is gone. */
  noWay: number;
  /** Half done, and nobody to complete it. */
  checksum: number;
}
