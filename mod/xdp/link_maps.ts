/**
 * The attached interfaces as the steering programs look them up: by index in a hash, and most of them, by the index's low bits, in an array,
 * which needs no hash of every packet.
 *
 * References: ffi/bpf/maps.h ku_links, ku_near_links.
 *
 * @module
 */

import type { BpfMap } from "./bpf_map.ts";
import type { BpfObject } from "./bpf_object.ts";

// ffi/bpf/maps.h
export const LINK_BYTES = 12;
const NEAR_LINKS = 1024;
const NEAR_LINK_BYTES = 4 + LINK_BYTES;

export class LinkMaps {
  readonly #links: BpfMap;
  readonly #near: BpfMap;

  constructor(object: BpfObject) {
    this.#links = object.map("ku_links", 4, LINK_BYTES);
    this.#near = object.map("ku_near_links", 4, NEAR_LINK_BYTES);
  }

  /** What the programs know of interface `index`: LINK_BYTES. */
  update(index: number, link: Uint8Array<ArrayBuffer>): void {
    this.#links.update(keyOf(index), link);
    const owner = this.#ownerOfPlace(index);
    if (owner === 0 || owner === index) this.#writePlace(index, [...keyOf(index), ...link]);
  }

  /** They know nothing of it any more. */
  delete(index: number): void {
    if (this.#ownerOfPlace(index) === index) this.#writePlace(index, []);
    this.#links.delete(keyOf(index));
  }

  /** Index of the interface that has this one's place; 0 = none. */
  #ownerOfPlace(index: number): number {
    return new Uint32Array(this.#near.lookup(keyOf(index % NEAR_LINKS))!.buffer)[0];
  }

  #writePlace(index: number, bytes: number[]): void {
    const value = new Uint8Array(new ArrayBuffer(NEAR_LINK_BYTES));
    value.set(bytes);
    this.#near.update(keyOf(index % NEAR_LINKS), value);
  }
}

function keyOf(value: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Uint32Array.of(value).buffer);
}
