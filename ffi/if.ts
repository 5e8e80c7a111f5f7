/* /usr/include/net/if.h, linux/{if_arp,sockios}.h: the interfaces of the calling thread's network namespace. */

import { checkErrno, lastErrno, SystemError } from "./errno.ts";
import { AF_INET, IF_NAMESIZE, libc, SOCK_CLOEXEC, SOCK_DGRAM } from "./libc.ts";
import { addressOf, cString, fromCString } from "./memory.ts";

const { if_nameindex, if_freenameindex } = Deno.dlopen("libc.so.6", {
  if_nameindex: {
    parameters: [], // void
    result: "pointer", // struct if_nameindex *, ended by index 0
  },
  if_freenameindex: {
    parameters: ["pointer"], // struct if_nameindex *list
    result: "void",
  },
}).symbols;

// struct if_nameindex
const NAMEINDEX_INDEX = 0; // unsigned int
const NAMEINDEX_NAME = 8; // char *
const NAMEINDEX_BYTES = 16;

const SIOCGIFHWADDR = 0x8927n;
// struct ifreq, here with ifr_hwaddr, a struct sockaddr
const IFREQ_HARDWARE_TYPE = 16; // u16
const IFREQ_BYTES = 40;
/** Hardware type of an interface whose frames have an Ethernet header. */
export const ARPHRD_ETHER = 1;

/** An interface by both its names. */
export interface InterfaceName {
  index: number;
  name: string;
}

/** All interfaces. Throws SystemError. */
export function listInterfaces(): InterfaceName[] {
  const list = if_nameindex();
  if (list === null) throw new SystemError("list", lastErrno(), "network interfaces");
  const view = new Deno.UnsafePointerView(list);
  const found: InterfaceName[] = [];
  for (let at = 0; view.getUint32(at + NAMEINDEX_INDEX) !== 0; at += NAMEINDEX_BYTES) {
    const name = view.getPointer(at + NAMEINDEX_NAME);
    if (name === null) break;
    found.push({
      index: view.getUint32(at + NAMEINDEX_INDEX),
      name: new Deno.UnsafePointerView(name).getCString(),
    });
  }
  if_freenameindex(list);
  return found;
}

/** Index of the interface called `name`; 0 if there is none. */
export function interfaceIndex(name: string): number {
  return libc.if_nametoindex(cString(name));
}

/** Name of the interface with `index`; null if there is none. */
export function interfaceName(index: number): string | null {
  const name = new Uint8Array(new ArrayBuffer(IF_NAMESIZE));
  return addressOf(libc.if_indextoname(index, name)) === 0n ? null : fromCString(name);
}

/** ARPHRD_* type of the interface. Throws SystemError if there is none of that name. */
export function hardwareType(name: string): number {
  const request = new Uint8Array(IFREQ_BYTES);
  request.set(cString(name).subarray(0, IF_NAMESIZE));
  const fd = checkErrno(libc.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "open", "a control socket");
  try {
    checkErrno(libc.ioctl(fd, SIOCGIFHWADDR, request), "look at interface", `"${name}"`);
  } finally {
    libc.close(fd);
  }
  return new DataView(request.buffer).getUint16(IFREQ_HARDWARE_TYPE, true);
}
