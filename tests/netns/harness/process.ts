/** Programs beside the test, of ku's own ground. */

export * from "../../../mod/control/ground/process.ts";
