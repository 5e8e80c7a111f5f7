/**
 * The writer of session_thread_test.ts, in a thread of its own: puts and removes sessions as fast as it can. Every word of session n
 * follows from n and a round number, so that a reader sees whether what it got was one whole session.
 */

import { SESSION_NOTE, SESSION_POD, SESSION_SERVICE, SessionTable } from "../../../mod/table/session.ts";
import { derivedWord, replyWord, type WriterOrder } from "./session_pattern.ts";

function write({ buffer, sessions, flag }: WriterOrder): void {
  const table = new SessionTable(buffer);
  const stop = new Int32Array(flag);
  const entries = new Int32Array(sessions).fill(-1);
  for (let round = 1; Atomics.load(stop, 0) === 0; round++) {
    for (let n = 0; n < sessions; n++) {
      if (entries[n] >= 0) table.remove(entries[n]);
      for (let i = 0; i < table.key.length; i++) {
        table.key[i] = derivedWord(n, round, i);
        table.replyKey[i] = replyWord(n, i);
      }
      const entry = table.insert(17, 1000);
      entries[n] = entry;
      if (entry < 0) continue;
      table.words[entry + SESSION_SERVICE] = round;
      table.words[entry + SESSION_POD] = n;
      table.words[entry + SESSION_NOTE] = round;
    }
  }
}

const scope = self as unknown as {
  onmessage: ((event: MessageEvent<WriterOrder>) => void) | null;
  postMessage: (message: string) => void;
};
scope.onmessage = ({ data }) => {
  write(data);
  scope.postMessage("stopped");
};
