/**
 * A BPF map, by its file descriptor: single entries, batches of bytes, or mapped memory.
 *
 * References: bpf(2); kernel/bpf/syscall.c generic_map_update_batch.
 *
 * @module
 */

import { BPF_ANY, MAP_BATCH_OPTS_BYTES } from "../../ffi/bpf.ts";
import { checkNegative, ENOENT } from "../../ffi/errno.ts";
import { libbpf } from "../../ffi/libbpf.ts";
import { type Mapping, mapShared } from "../../ffi/memory.ts";

const BATCH_OPTIONS = new Uint8Array(new ArrayBuffer(MAP_BATCH_OPTS_BYTES));
new DataView(BATCH_OPTIONS.buffer).setBigUint64(0, BigInt(MAP_BATCH_OPTS_BYTES), true);

/** CPUs that may ever be there, as the kernel lays out per-CPU maps (libbpf.h libbpf_num_possible_cpus). */
function possibleCpus(): number {
  return checkNegative(libbpf().libbpf_num_possible_cpus(), "count", "possible CPUs");
}

/** A map with keys and values of fixed length. */
export class BpfMap {
  constructor(
    readonly name: string,
    /** Another one of the same map after BpfObject.succeed. */
    public fd: number,
    readonly keyBytes: number,
    readonly valueBytes: number,
  ) {}

  /** The first `count` values of an array made with BPF_F_MMAPABLE, one after the other. Throws SystemError. */
  mapValues(count: number): Mapping {
    return mapShared(this.fd, count * this.valueBytes, `BPF map "${this.name}"`);
  }

  /** Sets one entry. Throws SystemError. */
  update(key: Uint8Array<ArrayBuffer>, value: Uint8Array<ArrayBuffer>): void {
    const result = libbpf().bpf_map_update_elem(this.fd, key, value, BPF_ANY);
    checkNegative(result, "update BPF map", this.name);
  }

  /** Value of one entry; null if there is none. */
  lookup(key: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | null {
    const value = new Uint8Array(new ArrayBuffer(this.valueBytes));
    const result = libbpf().bpf_map_lookup_elem(this.fd, key, value);
    if (result === -ENOENT) return null;
    checkNegative(result, "read BPF map", this.name);
    return value;
  }

  /** The values, one after the other, of one entry of a map that has one for each possible CPU. Throws SystemError. */
  lookupAll(key: Uint8Array<ArrayBuffer>): BigUint64Array {
    const values = this.#perCpu();
    const result = libbpf().bpf_map_lookup_elem(this.fd, key, new Uint8Array(values.buffer));
    checkNegative(result, "read BPF map", this.name);
    return values;
  }

  /** Makes the values of one entry zero, on each possible CPU. Throws SystemError. */
  clearAll(key: Uint8Array<ArrayBuffer>): void {
    this.update(key, new Uint8Array(this.#perCpu().buffer));
  }

  #perCpu(): BigUint64Array<ArrayBuffer> {
    return new BigUint64Array(possibleCpus() * Math.ceil(this.valueBytes / 8));
  }

  /** Removes one entry. False if there was none. Throws SystemError. */
  delete(key: Uint8Array<ArrayBuffer>): boolean {
    const result = libbpf().bpf_map_delete_elem(this.fd, key);
    if (result === -ENOENT) return false;
    checkNegative(result, "remove an entry of BPF map", this.name);
    return true;
  }

  /** All keys there are; none of them may go meanwhile. */
  keys(): Uint8Array<ArrayBuffer>[] {
    const keys: Uint8Array<ArrayBuffer>[] = [];
    for (let last: Uint8Array<ArrayBuffer> | null = null;;) {
      const key: Uint8Array<ArrayBuffer> = new Uint8Array(new ArrayBuffer(this.keyBytes));
      if (libbpf().bpf_map_get_next_key(this.fd, last, key) < 0) return keys;
      keys.push(key);
      last = key;
    }
  }

  /** Sets many entries with one call. `keys` and `values` hold one after the other. Throws SystemError. */
  updateMany(keys: Uint8Array<ArrayBuffer>, values: Uint8Array<ArrayBuffer>): void {
    if (keys.length === 0) return;
    const result = libbpf().bpf_map_update_batch(this.fd, keys, values, this.#count(keys), BATCH_OPTIONS);
    checkNegative(result, "update BPF map", this.name);
  }

  /** Removes many entries; those that are not there are passed over. Throws SystemError. */
  deleteMany(keys: Uint8Array<ArrayBuffer>): void {
    let rest = keys;
    while (rest.length > 0) {
      const count = this.#count(rest);
      const result = libbpf().bpf_map_delete_batch(this.fd, rest, count, BATCH_OPTIONS);
      if (result >= 0) return;
      if (result !== -ENOENT) checkNegative(result, "remove entries of BPF map", this.name);
      rest = rest.subarray((count[0] + 1) * this.keyBytes); // the batch stops at a missing one
    }
  }

  #count(keys: Uint8Array): Uint32Array<ArrayBuffer> {
    return Uint32Array.of(keys.length / this.keyBytes);
  }
}
