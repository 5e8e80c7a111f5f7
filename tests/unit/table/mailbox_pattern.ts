/** What mailbox_sender.ts puts and mailbox_test.ts expects. */

export function reportWord(n: number, index: number): number {
  return Math.imul(n + 1, 0x9e3779b1) ^ index;
}

export interface SenderOrder {
  buffer: SharedArrayBuffer;
  reports: number;
}
