// Chats by the official JavaScript libraries, one after the other: {"calls": [ORDER...]} on stdin, a list of the same
// length on stdout. An ORDER is that of chat.py; TOLLGATE_NODE_MODULES says where the libraries are.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(process.env.TOLLGATE_NODE_MODULES + "/");
const waits = [];
// Longer timers bound the request; the libraries back off with the shorter ones.
const BACK_OFF_MS_MAX = 100_000;
const { setTimeout: timer } = globalThis;
globalThis.setTimeout = (then, ms, ...rest) => {
  if (ms < BACK_OFF_MS_MAX) waits.push(ms / 1000);
  return timer(then, ms, ...rest);
};

const NAMES = ["retry-after", "retry-after-ms", "x-should-retry", "x-tollgate-limit"];

function recorded(attempts) {
  return async (url, options) => {
    const headers = new Headers(options?.headers);
    const attempt = { retry_count: headers.get("x-stainless-retry-count") };
    attempts.push(attempt);
    const response = await fetch(url, options);
    attempt.status = response.status;
    attempt.headers = Object.fromEntries(NAMES.filter((name) => response.headers.has(name)).map((name) => [name, response.headers.get(name)]));
    return response;
  };
}

const LIBRARIES = {
  openai: async (order, options) => {
    const { default: OpenAI } = require("openai");
    const client = new OpenAI({ ...options, baseURL: `${order.base_url}/v1` });
    const answer = await client.chat.completions.create(request(order), { headers: order.headers });
    return answer.choices[0].message.content;
  },
  anthropic: async (order, options) => {
    const { default: Anthropic } = require("@anthropic-ai/sdk");
    const client = new Anthropic({ ...options, baseURL: order.base_url });
    const answer = await client.messages.create(request(order), { headers: order.headers });
    return answer.content.map((block) => block.text).join("");
  },
};

function request(order) {
  const messages = [{ role: "user", content: order.prompt }];
  const cap = order.max_tokens === null ? {} : { max_tokens: order.max_tokens };
  return { model: order.model, messages, ...cap };
}

async function one(order) {
  const attempts = [];
  waits.length = 0;
  const retries = order.max_retries === null ? {} : { maxRetries: order.max_retries };
  const options = { apiKey: order.key, fetch: recorded(attempts), ...retries };
  const outcome = await LIBRARIES[order.api](order, options).then(
    (text) => ({ status: 200, text }),
    (error) => ({
      exception: error.constructor.name, message: error.message, status: error.status, body: error.error,
      code: error.code, type: error.type, headers: Object.fromEntries(error.headers ?? []),
    }),
  );
  return { ...outcome, attempts, waits_s: [...waits] };
}

const outcomes = [];
for (const order of JSON.parse(readFileSync(0, "utf8")).calls) outcomes.push(await one(order));
process.stdout.write(JSON.stringify(outcomes));
