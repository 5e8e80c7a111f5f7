/* /usr/include/linux/{ethtool,sockios}.h: who drives an interface, with how many queues. */

import { checkErrno, lastErrno, SystemError } from "./errno.ts";
import { AF_INET, libc, SOCK_CLOEXEC, SOCK_DGRAM } from "./libc.ts";
import { bufferAddress, cString, fromCString } from "./memory.ts";

const SIOCETHTOOL = 0x8946n;
const ETHTOOL_GDRVINFO = 0x3;
const ETHTOOL_STXCSUM = 0x17;
const ETHTOOL_GFLAGS = 0x25;
const ETH_FLAG_LRO = 1 << 15;
const ETHTOOL_GCHANNELS = 0x3c;
const ETHTOOL_SCHANNELS = 0x3d;

// struct ifreq: a name, then here a pointer to the ethtool command
const IFREQ_DATA = 16;
const IFREQ_BYTES = 40;
// struct ethtool_drvinfo
const DRVINFO_DRIVER = 4; // char[32]
const DRVINFO_BUS_INFO = 100; // char[32]
const DRVINFO_BYTES = 196;
const DRVINFO_STRING_BYTES = 32;
// struct ethtool_channels, in words
const CHANNELS_RX = 5;
const CHANNELS_TX = 6;
const CHANNELS_COMBINED = 8;
const CHANNELS_WORDS = 9;

/** Runs the command in the calling thread's network namespace. False if the interface does not know it. */
function ethtool(interfaceName: string, command: Uint8Array<ArrayBuffer>): boolean {
  const request = new Uint8Array(IFREQ_BYTES);
  request.set(cString(interfaceName).subarray(0, IFREQ_DATA));
  new DataView(request.buffer).setBigUint64(IFREQ_DATA, bufferAddress(command), true);
  const fd = checkErrno(libc.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "open", "a control socket");
  try {
    return libc.ioctl(fd, SIOCETHTOOL, request) === 0;
  } finally {
    libc.close(fd);
  }
}

/** Driver's name, and the bus it sits on ("" for a virtual interface). Both "" when the driver does not say. */
export function driverOf(interfaceName: string): { driver: string; bus: string } {
  const info = new Uint8Array(DRVINFO_BYTES);
  new DataView(info.buffer).setUint32(0, ETHTOOL_GDRVINFO, true);
  if (!ethtool(interfaceName, info)) return { driver: "", bus: "" };
  const text = (at: number) => fromCString(info.subarray(at, at + DRVINFO_STRING_BYTES));
  return { driver: text(DRVINFO_DRIVER), bus: text(DRVINFO_BUS_INFO) };
}

/**
 * Queues in use, which may be less than an interface was made with (rtnetlink tells only those). One of each where the
 * driver does not say: it has no other.
 */
export function queuesOf(interfaceName: string): { rx: number; tx: number } {
  const words = new Uint32Array(CHANNELS_WORDS);
  words[0] = ETHTOOL_GCHANNELS;
  if (!ethtool(interfaceName, new Uint8Array(words.buffer))) return { rx: 1, tx: 1 };
  const combined = words[CHANNELS_COMBINED];
  return {
    rx: Math.max(words[CHANNELS_RX] + combined, 1),
    tx: Math.max(words[CHANNELS_TX] + combined, 1),
  };
}

/** Has the interface use `count` receive and as many transmit queues. False if it does not, or cannot now (a queue has an AF_XDP socket). */
export function setQueues(interfaceName: string, count: number): boolean {
  const words = new Uint32Array(CHANNELS_WORDS);
  words[0] = ETHTOOL_SCHANNELS;
  words[CHANNELS_RX] = count;
  words[CHANNELS_TX] = count;
  return ethtool(interfaceName, new Uint8Array(words.buffer));
}

/** Whether the interface joins received segments in hardware (`ethtool -K X lro on|off`). */
export function largeReceiveOffload(interfaceName: string): boolean {
  const words = Uint32Array.of(ETHTOOL_GFLAGS, 0);
  return ethtool(interfaceName, new Uint8Array(words.buffer)) && (words[1] & ETH_FLAG_LRO) !== 0;
}

/** Whether the interface may leave checksums of what it transmits half done (`ethtool -K X tx on|off`). */
export function setTransmitChecksumOffload(interfaceName: string, on: boolean): void {
  const command = new Uint8Array(Uint32Array.of(ETHTOOL_STXCSUM, on ? 1 : 0).buffer);
  if (!ethtool(interfaceName, command)) {
    throw new SystemError("set transmit checksum offload of", lastErrno(), `"${interfaceName}"`);
  }
}
