/** tests/run/junit.ts against reports as Deno 2.4.2 writes them. */

import { assertEquals } from "@std/assert";
import { readTotals } from "../../run/junit.ts";

Deno.test("readTotals() sums over suites, counts ignored tests as failed, and is not fooled by messages", () => {
  const xml = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="deno test" tests="6" failures="3" errors="0" time="0.102">
    <testsuite name="./j_test.ts" tests="6" disabled="1" errors="0" failures="3">
        <testcase name="f" classname="./j_test.ts" time="0.000" line="1" col="37">
            <failure message="Uncaught Error: x &lt;testsuite tests=&quot;9&quot;&gt;">Error: x</failure>
        </testcase>
    </testsuite>
    <testsuite name="./k_test.ts" tests="20" disabled="0" errors="0" failures="0">
    </testsuite>
</testsuites>`;
  assertEquals(readTotals(xml), { passed: 22, failed: 4 });
});

Deno.test("readTotals() of a report that was never written is nothing passed, nothing failed", () => {
  assertEquals(readTotals(""), { passed: 0, failed: 0 });
});
