/** Which mistyped words are recognized. */

import { assertEquals } from "@std/assert";
import { closest, editDistance } from "../../../cli/suggest.ts";

Deno.test("editDistance counts insertions, deletions, substitutions and swaps", () => {
  const cases: [string, string, number][] = [
    ["", "", 0],
    ["", "vip", 3],
    ["vip", "vip", 0],
    ["vpi", "vip", 1],
    ["vi", "vip", 1],
    ["vipp", "vip", 1],
    ["kitten", "sitting", 3],
    ["wieght", "weight", 1],
  ];
  for (const [a, b, distance] of cases) {
    assertEquals(editDistance(a, b), distance);
    assertEquals(editDistance(b, a), distance);
  }
});

Deno.test("closest suggests what is near and nothing that is far", () => {
  const words = ["vip", "pod", "conf", "interface", "target_port", "del", "in"];
  const cases: [string, string | undefined][] = [
    ["vpi", "vip"],
    ["pods", "pod"],
    ["inter", "interface"],
    ["target-port", "target_port"],
    ["Conf", "conf"],
    ["dle", "del"],
    ["abc", undefined],
    ["x", undefined],
    ["frobnicate", undefined],
  ];
  for (const [word, meant] of cases) assertEquals(closest(word, words), meant, word);
});
