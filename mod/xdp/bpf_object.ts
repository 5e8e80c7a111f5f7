/**
 * The compiled steering programs, loaded from memory into the kernel.
 *
 * @module
 */

import { OPEN_OPTS_BYTES, OPEN_OPTS_LOG_BUFFER, OPEN_OPTS_LOG_BYTES, OPEN_OPTS_NAME } from "../../ffi/bpf.ts";
import { checkNegative, errnoName, lastErrno, SystemError } from "../../ffi/errno.ts";
import { libbpf, withLibbpfMessages } from "../../ffi/libbpf.ts";
import { bufferAddress, cString, fromCString } from "../../ffi/memory.ts";
import { BpfMap } from "./bpf_map.ts";

/** Room for the verifier's words; more than it wrote about any refused version of these programs. */
const LOG_BYTES = 8 * 1024 * 1024;
const LOG_TAIL_LINES = 12;

/** A loaded object file: its programs' and maps' descriptors, open until `close`. */
export class BpfObject {
  readonly #object: Deno.PointerObject;
  /** Those given out, by name. */
  readonly #maps = new Map<string, BpfMap>();

  private constructor(object: Deno.PointerObject) {
    this.#object = object;
  }

  /**
   * Loads all programs and creates all maps of an ELF image; those named in `entries` are made for that many instead of what the source
   * says, and those named in `maps` are there already, by their descriptors. Throws SystemError; with the verifier's last words.
   */
  static load(
    name: string,
    image: Uint8Array<ArrayBuffer>,
    entries: Readonly<Record<string, number>> = {},
    maps: ReadonlyMap<string, number> = new Map(),
  ): BpfObject {
    const log = new Uint8Array(LOG_BYTES);
    const cName = new Uint8Array(cString(name).buffer);
    const options = new DataView(new ArrayBuffer(OPEN_OPTS_BYTES));
    options.setBigUint64(0, BigInt(OPEN_OPTS_BYTES), true);
    options.setBigUint64(OPEN_OPTS_NAME, bufferAddress(cName), true);
    options.setBigUint64(OPEN_OPTS_LOG_BUFFER, bufferAddress(log), true);
    options.setBigUint64(OPEN_OPTS_LOG_BYTES, BigInt(LOG_BYTES), true);
    const { result: object, messages } = withLibbpfMessages(() =>
      libbpf().bpf_object__open_mem(image, BigInt(image.length), new Uint8Array(options.buffer))
    );
    if (object === null) {
      throw new SystemError("open BPF object", lastErrno(), name, messages.at(-1) ?? "");
    }
    for (const [map, count] of Object.entries(entries)) {
      checkNegative(libbpf().bpf_map__set_max_entries(mapOf(object, map), count), "resize BPF map", map);
    }
    for (const [map, fd] of maps) {
      checkNegative(libbpf().bpf_map__reuse_fd(mapOf(object, map), fd), "take over BPF map", map);
    }
    const { result, messages: words } = withLibbpfMessages(() => libbpf().bpf_object__load(object));
    if (result < 0) {
      libbpf().bpf_object__close(object);
      throw new SystemError("load BPF object", -result, name, loadRemedy(-result, fromCString(log), words));
    }
    return new BpfObject(object);
  }

  /** Descriptor of the program called `name`. */
  program(name: string): number {
    const program = libbpf().bpf_object__find_program_by_name(this.#object, cString(name));
    if (program === null) throw new Error(`No program "${name}" in the BPF object`);
    return checkNegative(libbpf().bpf_program__fd(program), "find BPF program", name);
  }

  /** The map called `name`, whose entries are as long as the C source says. */
  map(name: string, keyBytes: number, valueBytes: number): BpfMap {
    const known = this.#maps.get(name);
    if (known !== undefined) return known;
    const map = new BpfMap(name, this.#mapFd(name), keyBytes, valueBytes);
    this.#maps.set(name, map);
    return map;
  }

  /** Descriptors of the maps given out, by name. */
  get mapFds(): Map<string, number> {
    return new Map([...this.#maps].map(([name, { fd }]) => [name, fd]));
  }

  /** Takes the place of `former`, which is closed: the maps that it gave out and that are shared with it are this one's now. */
  succeed(former: BpfObject, shared: ReadonlySet<string>): void {
    for (const [name, map] of former.#maps) {
      if (!shared.has(name)) continue;
      map.fd = this.#mapFd(name);
      this.#maps.set(name, map);
    }
    former.close();
  }

  #mapFd(name: string): number {
    const fd = libbpf().bpf_object__find_map_fd_by_name(this.#object, cString(name));
    return checkNegative(fd, "find BPF map", name);
  }

  /** Closes all descriptors. Attached programs stay, and the maps they use. */
  close(): void {
    libbpf().bpf_object__close(this.#object);
  }
}

function mapOf(object: Deno.PointerObject, name: string): Deno.PointerObject {
  const map = libbpf().bpf_object__find_map_by_name(object, cString(name));
  if (map === null) throw new Error(`No map "${name}" in the BPF object`);
  return map;
}

function loadRemedy(errno: number, log: string, messages: readonly string[]): string {
  if (errnoName(errno) === "EPERM") return "run ku as root";
  const lines = log.trim() === "" ? messages : log.trim().split("\n");
  return lines.slice(-LOG_TAIL_LINES).join("\n");
}
