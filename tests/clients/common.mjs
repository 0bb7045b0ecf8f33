// What the scripts share: one JSON document in on stdin, a list out on stdout, the official libraries wherever they stand,
// and a record of every attempt and every wait that they make.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const { resolve } = createRequire(process.env.TOLLGATE_NODE_MODULES + "/");

/** A library, whichever kind of module it is. */
export async function load(name) {
  const { default: main, ...named } = await import(pathToFileURL(resolve(name)));
  return { ...main, default: main, ...named };
}

const waits = [];
// Longer timers bound the request; the libraries back off with the shorter ones.
const BACK_OFF_MS_MAX = 100_000;
const { setTimeout: timer } = globalThis;
globalThis.setTimeout = (then, ms, ...rest) => {
  if (ms < BACK_OFF_MS_MAX) waits.push(ms / 1000);
  return timer(then, ms, ...rest);
};

const NAMES = ["retry-after", "retry-after-ms", "x-should-retry", "x-amz-retry-after", "x-tollgate-limit"];

/** The headers of an answer that concern retries. */
export const told = (headers) => Object.fromEntries(NAMES.filter((name) => headers.has(name)).map((name) => [name, headers.get(name)]));

/** A `fetch` that notes every attempt. */
export function recorded(attempts, send = fetch) {
  return async (url, options) => {
    const headers = new Headers(options?.headers);
    const attempt = { retry_count: headers.get("x-stainless-retry-count") };
    attempts.push(attempt);
    const response = await send(url, options);
    attempt.status = response.status;
    attempt.headers = told(response.headers);
    return response;
  };
}

/** Answers every order in turn: `one` gets it with the list of its attempts, and returns what becomes of it. */
export async function run(one) {
  const outcomes = [];
  for (const order of JSON.parse(readFileSync(0, "utf8")).calls) {
    const attempts = [];
    waits.length = 0;
    outcomes.push({ ...(await one(order, attempts)), attempts, waits_s: [...waits] });
  }
  process.stdout.write(JSON.stringify(outcomes));
}
