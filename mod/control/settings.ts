/** The configuration's plain numbers, as the datapath reads them. */

import { parseAddress, parsePrefix } from "../config/address.ts";
import type { Conf } from "../config/model.ts";
import type { SettingsMessage } from "../worker/messages.ts";

export function settingsOf({ ip4SrcAddress, ip6SrcAddress, nat46Prefix }: Conf): SettingsMessage {
  const four = ip4SrcAddress === null ? null : parseAddress(ip4SrcAddress)!.bytes;
  return {
    ip4SrcAddress: four === null ? 0 : new DataView(four.buffer, four.byteOffset).getInt32(12),
    ip6SrcAddress: words(ip6SrcAddress === null ? null : parseAddress(ip6SrcAddress)!.bytes),
    nat46Prefix: words(parsePrefix(nat46Prefix)!.bytes),
  };
}

function words(bytes: Uint8Array | null): [number, number, number, number] {
  if (bytes === null) return [0, 0, 0, 0];
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  return [view.getInt32(0), view.getInt32(4), view.getInt32(8), view.getInt32(12)];
}
