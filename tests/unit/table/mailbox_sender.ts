/** The sender of mailbox_test.ts, in a thread of its own. */

import { Mailbox, REPORT_REPLY } from "../../../mod/table/mailbox.ts";
import { reportWord, type SenderOrder } from "./mailbox_pattern.ts";

function send({ buffer, reports }: SenderOrder): void {
  const box = new Mailbox(buffer);
  const tuple = new Int32Array(9);
  for (let n = 0; n < reports;) {
    const width = n % 2 === 0 ? 3 : 9;
    for (let i = 0; i < width; i++) tuple[i] = reportWord(n, i);
    if (box.put(REPORT_REPLY, 6, 16, n, tuple, 0, width)) n++;
  }
}

const scope = self as unknown as {
  onmessage: ((event: MessageEvent<SenderOrder>) => void) | null;
  postMessage: (message: string) => void;
};
scope.onmessage = ({ data }) => {
  send(data);
  scope.postMessage("sent");
};
