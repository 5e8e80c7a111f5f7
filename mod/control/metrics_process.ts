/**
 * The daemon's own process, under the names that Prometheus's client libraries use.
 *
 * References: https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics; proc(5).
 *
 * @module
 */

import type { Family } from "../metrics/prometheus.ts";

/** USER_HZ, ticks of /proc/<pid>/stat in a second; 100 on every Linux that ku runs on (include/asm-generic/param.h). */
const TICKS_PER_SECOND = 100;
const PAGE_BYTES = 4096;
// Fields of /proc/<pid>/stat after the command's name, which is the second one: proc(5) counts from 1.
const UTIME = 14 - 3;
const STIME = 15 - 3;
const THREADS = 20 - 3;
const STARTTIME = 22 - 3;
const VSIZE = 23 - 3;
const RSS = 24 - 3;

export function processFamilies(): Family[] {
  const text = Deno.readTextFileSync("/proc/self/stat");
  // The name in parentheses may have blanks and parentheses itself.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ").map(Number);
  const boot = Number(/^btime (\d+)$/m.exec(Deno.readTextFileSync("/proc/stat"))?.[1] ?? 0);
  const files = [...Deno.readDirSync("/proc/self/fd")].length;
  const of = (name: string, help: string, value: number, unit?: Family["unit"]): Family => ({
    name,
    type: "gauge",
    unit,
    help,
    samples: [{ labels: {}, value }],
  });
  return [
    {
      ...of(
        "process_cpu_seconds",
        "User and system CPU time.",
        (fields[UTIME] + fields[STIME]) / TICKS_PER_SECOND,
        "seconds",
      ),
      type: "counter",
    },
    of("process_resident_memory_bytes", "Resident memory.", fields[RSS] * PAGE_BYTES, "bytes"),
    of("process_virtual_memory_bytes", "Virtual memory.", fields[VSIZE], "bytes"),
    of("process_threads", "Threads.", fields[THREADS]),
    of("process_open_fds", "Open file descriptors.", files),
    of(
      "process_start_time_seconds",
      "Start, in seconds since the epoch.",
      boot + fields[STARTTIME] / TICKS_PER_SECOND,
      "seconds",
    ),
  ];
}
