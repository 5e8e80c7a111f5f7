/* Counting of entries, against a Map. */

import { assertEquals } from "@std/assert";
import { KEY_WORDS, KeyCounts } from "../../../mod/xdp/key_counts.ts";
import { property } from "../../packets/random.ts";

Deno.test("KeyCounts agrees with a Map, whatever comes and goes", () => {
  property((random) => {
    const counts = new KeyCounts();
    const wanted = new Map<string, number>();
    const key = () => Int32Array.from({ length: KEY_WORDS }, (_, i) => i < 3 ? 0 : random.below(12) - 6);
    for (let round = 0; round < 40; round++) {
      const keys = Array.from({ length: random.below(40) }, key);
      counts.reserve(keys.length);
      const places = keys.map((each) => counts.placeOf(each));
      keys.forEach((each, i) => {
        const text = each.join();
        const place = counts.placeOf(each);
        assertEquals(place, places[i]);
        assertEquals(counts.get(place), wanted.get(text) ?? 0);
        const count = Math.max(0, counts.get(place) + random.below(3) - 1);
        counts.set(place, count);
        if (count > 0) wanted.set(text, count);
        else wanted.delete(text);
      });
      assertEquals(counts.size, wanted.size);
      const all = counts.places();
      const words = new Int32Array(counts.bytesAt(all).buffer);
      const texts = all.map((place, i) => {
        assertEquals(counts.word(place, 4), words[i * KEY_WORDS + 4]);
        return words.slice(i * KEY_WORDS, (i + 1) * KEY_WORDS).join();
      });
      assertEquals(texts.sort(), [...wanted.keys()].sort());
    }
  });
});
