/**
 * The counts of a JUnit report as `deno test --junit-path` writes it.
 *
 * NB: Deno lists the steps of a test (`t.step`) as test cases too; they are counted like tests. Ignored tests count
 * as failed here, since nothing may pass by being skipped.
 */

export interface Totals {
  passed: number;
  failed: number;
}

/** Sums over all test suites of `xml`; zeros for a report that was never written. */
export function readTotals(xml: string): Totals {
  const totals: Totals = { passed: 0, failed: 0 };
  for (const [suite] of xml.matchAll(/<testsuite\s[^>]*>/g)) {
    const failed = attribute(suite, "failures") + attribute(suite, "errors") + attribute(suite, "disabled") +
      attribute(suite, "skipped");
    totals.failed += failed;
    totals.passed += attribute(suite, "tests") - failed;
  }
  return totals;
}

function attribute(tag: string, name: string): number {
  return Number(new RegExp(`\\s${name}="(\\d+)"`).exec(tag)?.[1] ?? 0);
}
