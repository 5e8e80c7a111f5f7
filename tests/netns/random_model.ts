/*
 * What was configured when, and whether an arrival agrees with it: the reference of random_test.ts.
 *
 * Rule: a packet sent after a command returned goes by what the command made. So an arrival is right if what is configured at any moment
 * between its sending and its arriving lets it be; while a command runs, what was before it and what comes after it both count.
 */

import type { Arrival } from "./harness/traffic.ts";

/** From when on something is so: not earlier than `began`, and from `ended` on certainly. */
export interface Moment {
  began: number;
  ended: number;
}

interface Span {
  from: Moment;
  /** Null: to this day. */
  to: Moment | null;
  weight: number;
}

/** A service, and what was ever so about it. */
export class ServiceHistory {
  /** Pods by name: weight, null = not there. The service is there if this is not null. */
  pods: Map<string, number> | null = null;
  readonly #spans = new Map<string, Span[]>();
  /** When sessions of all pods, or of one, were ended. */
  readonly #ends: { pod: string | null; at: Moment }[] = [];

  constructor(readonly address: string, readonly port: number) {}

  /** The service is added, without pods, or deleted. */
  setPresent(present: boolean, at: Moment): void {
    if (!present) {
      for (const pod of [...this.pods!.keys()]) this.setPod(pod, null, at);
      this.endSessions(null, at);
    }
    this.pods = present ? new Map() : null;
  }

  /** The pod gets this weight; null: it is removed. */
  setPod(pod: string, weight: number | null, at: Moment): void {
    const spans = this.#spans.get(pod) ?? [];
    this.#spans.set(pod, spans);
    const last = spans.at(-1);
    if (last !== undefined && last.to === null) last.to = at;
    if (weight === null) this.pods!.delete(pod);
    else {
      this.pods!.set(pod, weight);
      spans.push({ from: at, to: null, weight });
    }
  }

  /** Flushed: of one pod, or of all. */
  endSessions(pod: string | null, at: Moment): void {
    this.#ends.push({ pod, at });
  }

  /** Why the arrival at `pod` should not have been; null if it is right. */
  judge(pod: string, [kind, , , , born, sent, arrived]: Arrival): string | null {
    const served = this.#during(pod, sent, arrived);
    if (served.some(({ weight }) => weight > 0)) return null;
    if (kind === "connection") return "a new connection to a pod that takes none";
    if (kind === "datagram" && served.length === 0) return "a datagram to a pod that is not there";
    // It may follow a session, begun when the pod took some: not before the flow, nor before sessions were last ended.
    return this.#couldBegin(pod, born, sent, arrived) ? null : `a ${kind} of a flow that has no session`;
  }

  #during(pod: string, sent: number, arrived: number): Span[] {
    return (this.#spans.get(pod) ?? []).filter(({ from, to }) =>
      from.began <= arrived && (to === null || to.ended >= sent)
    );
  }

  /** NB: packets that nobody wrote down begin sessions too: acknowledgments, and what was lost behind the node. */
  #couldBegin(pod: string, born: number, sent: number, arrived: number): boolean {
    const end = this.#ends.findLast((each) => (each.pod ?? pod) === pod && each.at.ended < sent);
    const since = Math.max(born, end?.at.began ?? born);
    // A command that removes a pod and ends its sessions does it in this order.
    return this.#during(pod, since, arrived).some(({ weight, to }) =>
      weight > 0 && (to === null || to !== end?.at)
    );
  }
}
