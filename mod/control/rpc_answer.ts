/**
 * JSON-RPC 2.0 without the socket: one line of bytes in, the response out.
 *
 * Rule: any bytes give a response or, for notifications and blank lines, none; never an exception. Only a ConfigError's
 * text is meant for the user, anything else is reported to the daemon as well.
 *
 * Reference: https://www.jsonrpc.org/specification
 */

import { ConfigError } from "../config/model.ts";
import {
  RPC_CONFIG_ERROR,
  RPC_INTERNAL_ERROR,
  RPC_INVALID_REQUEST,
  RPC_METHOD_NOT_FOUND,
  RPC_PARSE_ERROR,
} from "./protocol.ts";

/** Who asks. */
export interface Asker {
  /** Its connection outlives the server's `close`, until `release`: so it sees when the daemon is really gone. */
  stay(): void;
}

/** Gets `params` as they came (absent: {}); throws a ConfigError for what the user should read. */
export type Handler = (params: unknown, asker: Asker) => unknown | Promise<unknown>;

export interface AnswerOptions {
  handlers: Readonly<Record<string, Handler>>;
  /** Told of exceptions of handlers that are no ConfigErrors; the client only gets their message. */
  onInternalError?: (method: string, error: unknown) => void;
}

export type Response =
  & { jsonrpc: "2.0"; id: string | number | null }
  & ({ result: unknown } | { error: RpcErrorObject });

interface RpcErrorObject {
  code: number;
  message: string;
}

/** The response to one line, null when none is due (blank line, notifications). Never throws. */
export async function answerLine(
  line: Uint8Array,
  options: AnswerOptions,
  asker: Asker = { stay: () => {} },
): Promise<Response | Response[] | null> {
  let message: unknown;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(line).trim();
    if (text === "") return null;
    message = JSON.parse(text);
  } catch {
    return failure(null, RPC_PARSE_ERROR, "Parse error");
  }
  if (!Array.isArray(message)) return await answerRequest(message, options, asker);
  if (message.length === 0) return failure(null, RPC_INVALID_REQUEST, "Invalid Request");
  const responses: Response[] = [];
  for (const request of message) {
    const response = await answerRequest(request, options, asker);
    if (response !== null) responses.push(response);
  }
  return responses.length > 0 ? responses : null;
}

async function answerRequest(
  request: unknown,
  options: AnswerOptions,
  asker: Asker,
): Promise<Response | null> {
  if (!isRequest(request)) return failure(idOf(request), RPC_INVALID_REQUEST, "Invalid Request");
  const notification = !Object.hasOwn(request, "id");
  const id = idOf(request);
  if (!Object.hasOwn(options.handlers, request.method)) {
    return notification ? null : failure(id, RPC_METHOD_NOT_FOUND, `Method not found: ${request.method}`);
  }
  try {
    const result = await options.handlers[request.method](request.params ?? {}, asker);
    return notification ? null : { jsonrpc: "2.0", id, result: result ?? null };
  } catch (error) {
    const known = error instanceof ConfigError;
    if (!known) options.onInternalError?.(request.method, error);
    const text = error instanceof Error ? error.message : String(error);
    return notification ? null : failure(id, known ? RPC_CONFIG_ERROR : RPC_INTERNAL_ERROR, text);
  }
}

interface Request {
  jsonrpc: "2.0";
  method: string;
  params?: unknown;
  id?: string | number | null;
}

function isRequest(value: unknown): value is Request {
  if (typeof value !== "object" || value === null) return false;
  const request = value as Partial<Record<keyof Request, unknown>>;
  const idOk = request.id === undefined || request.id === null || typeof request.id === "string" ||
    typeof request.id === "number";
  const paramsOk = request.params === undefined ||
    (typeof request.params === "object" && request.params !== null);
  return request.jsonrpc === "2.0" && typeof request.method === "string" && idOk && paramsOk;
}

/** The id of anything, null when it has none that may be repeated. */
function idOf(value: unknown): string | number | null {
  if (typeof value !== "object" || value === null || !("id" in value)) return null;
  return typeof value.id === "string" || typeof value.id === "number" ? value.id : null;
}

/** An error response. */
export function failure(id: string | number | null, code: number, message: string): Response {
  return { jsonrpc: "2.0", id, error: { code, message } };
}
