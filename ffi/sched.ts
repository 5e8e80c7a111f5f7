/*
 * Scheduling policy of this process's threads.
 *
 * References: sched_setscheduler(2), sched(7); include/uapi/linux/sched.h; kernel/sched/fair.c check_preempt_wakeup_fair.
 */

const { sched_getscheduler, sched_setscheduler } = Deno.dlopen("libc.so.6", {
  sched_getscheduler: {
    parameters: ["i32"], // pid_t thread
    result: "i32",
  },
  sched_setscheduler: {
    parameters: [
      "i32", // pid_t thread
      "i32", // int policy
      "buffer", // const struct sched_param *; int sched_priority
    ],
    result: "i32",
  },
}).symbols;

const SCHED_OTHER = 0;
const SCHED_BATCH = 3;
/** struct sched_param with the one priority that both policies have, 0. */
const PARAMETERS = new Uint8Array(4);

/**
 * Gives every thread of the process the policy SCHED_BATCH: it keeps its share of the CPU, but a wakeup does not take the CPU from who
 * is on it. Threads begun later inherit it. A thread whose policy somebody has chosen (chrt(1), systemd) keeps that.
 */
export function scheduleInBatches(): void {
  for (const { name } of Deno.readDirSync("/proc/self/task")) {
    const thread = Number(name);
    if (sched_getscheduler(thread) === SCHED_OTHER) sched_setscheduler(thread, SCHED_BATCH, PARAMETERS);
  }
}
