/**
 * Where tables get their memory from: the datapath must not know the kernel, which can say more about it.
 *
 * @module
 */

/** Where the memory of a table comes from. */
export interface MemorySource {
  /** Memory of so many bytes, all 0, which begins at a multiple of four. */
  allocate(bytes: number): SharedArrayBuffer | ArrayBuffer;
  /** How many bytes behind the start of a 64-byte line it begins. */
  lineOffsetOf(buffer: SharedArrayBuffer | ArrayBuffer): number;
}

/** Memory that threads share, wherever it begins. */
export const SHARED_MEMORY: MemorySource = {
  allocate: (bytes) => new SharedArrayBuffer(bytes),
  lineOffsetOf: () => 0,
};
