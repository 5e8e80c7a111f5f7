/** Waiting on a condition, of ku's own ground. */

export * from "../../../mod/control/ground/wait.ts";
