/** Frames whose lengths do not agree: dropped and counted, wherever they are cut; for both families. */

import { buildFrame, concat, type IpFields, pattern, raw, tcp, udp } from "../../packets/builder.ts";
import { checkFixture } from "../../packets/fixture.ts";
import { FAMILIES, type Family, nodeWorld, UPLINK } from "../../packets/node.ts";

function badFrames(f: Family): { description: string; frame: Uint8Array }[] {
  const ip: IpFields = { src: f.client, dst: f.vip };
  const whole = buildFrame(ip, udp({ dstPort: 80 }));
  const edit = (at: number, value: number) => {
    const frame = whole.slice();
    frame[at] = value;
    return frame;
  };
  return [
    { description: "no Ethernet header", frame: whole.subarray(0, 13) },
    { description: "no IP header", frame: whole.subarray(0, 14) },
    { description: "half an IP header", frame: whole.subarray(0, 14 + f.headerBytes - 1) },
    { description: "half a UDP header", frame: buildFrame(ip, raw(17, pattern(7))) },
    { description: "half a TCP header", frame: buildFrame(ip, raw(6, pattern(19))) },
    { description: "cut behind the headers", frame: whole.subarray(0, whole.length - 1) },
    { description: "another version", frame: edit(14, 0x55) },
    { description: "a UDP length that is too long", frame: buildFrame(ip, udp({ dstPort: 80, length: 11 })) },
    { description: "a UDP length that is too short", frame: buildFrame(ip, udp({ dstPort: 80, length: 7 })) },
    {
      description: "a TCP header longer than the packet",
      frame: (() => {
        const frame = buildFrame(ip, tcp({ dstPort: 80 }));
        frame[14 + f.headerBytes + 12] = 0x60;
        return frame;
      })(),
    },
    {
      description: "a TCP header shorter than a header",
      frame: (() => {
        const frame = buildFrame(ip, tcp({ dstPort: 80 }));
        frame[14 + f.headerBytes + 12] = 0x40;
        return frame;
      })(),
    },
    {
      description: "a tag and nothing else",
      frame: concat(whole.subarray(0, 12), Uint8Array.of(0x81, 0, 0)),
    },
  ];
}

for (const f of FAMILIES) {
  for (const { description, frame } of badFrames(f)) {
    Deno.test(`parse${f.ip}: ${f.name}: dropped as malformed: ${description}`, () => {
      checkFixture(nodeWorld(f), {
        description,
        steps: [{ input: frame, slot: UPLINK, verdict: "drop" }],
        counted: { "ku-parse: malformed packet": 1 },
      });
    });
  }
}
