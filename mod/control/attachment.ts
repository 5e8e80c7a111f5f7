/** One attached interface, as the control plane knows it. */

import type { InterfaceSpec } from "../config/model.ts";
import type { Link } from "../netlink/messages.ts";
import type { Attachment as Steered, SteeredLink } from "../xdp/steering.ts";

export interface Attachment {
  name: string;
  slot: number;
  spec: InterfaceSpec;
  /** The link it is up on; null while there is none. */
  link: Link | null;
  mode: Steered["mode"] | null;
  reason: string;
  /** Queues that have sockets. */
  queues: number;
  /** The worker of each of them: its own socket in mode native, what it sends by in mode tc. */
  queueWorkers: number[];
  /** Queues that the interface had when it was last looked at. */
  rxQueues: number;
  txQueues: number;
  zeroCopy: boolean;
  /** Mirror.bornOf that link. */
  born: number;
  /** The steering maps know it. */
  active: boolean;
}

/** For an interface that is configured, and not up yet. */
export function newAttachment(spec: InterfaceSpec, slot: number): Attachment {
  return {
    name: spec.name,
    slot,
    spec,
    link: null,
    mode: null,
    reason: "the interface is not there",
    queues: 0,
    queueWorkers: [],
    rxQueues: 0,
    txQueues: 0,
    zeroCopy: false,
    born: 0,
    active: false,
  };
}

/** As the steering programs are told of it. */
export function steeredLink({ name, slot, spec }: Attachment, link: Link): SteeredLink {
  const { index, mac, mtuBytes } = link;
  return { index, name, slot, mac: mac!, mtuBytes, nat4: spec.nat4, nat6: spec.nat6 };
}

export function macText(link: Link): string {
  return link.mac?.join(":") ?? "";
}
