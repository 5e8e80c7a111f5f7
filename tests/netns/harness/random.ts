/**
 * Bytes that look random and are the same in every run, so that a body of megabytes can be compared without being stored twice.
 * xorshift32 (Marsaglia, "Xorshift RNGs", 2003): not for anything but test data.
 */

/** `length` bytes of the sequence that `seed` starts. The same seed and length give the same bytes. */
export function seededBytes(seed: number, length: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = (Math.imul(seed | 0, 0x9e3779b1) ^ 0x6b75) >>> 0 || 1; // xorshift never leaves 0
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  return new Uint8Array(words.buffer, 0, length);
}

/** SHA-256 in hexadecimal. */
export async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
