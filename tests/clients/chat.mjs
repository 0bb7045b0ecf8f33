// Chats by the JavaScript libraries of OpenAI and Anthropic, one after the other: {"calls": [ORDER...]} on stdin, a list of
// the same length on stdout. An ORDER is that of chat.py; TOLLGATE_NODE_MODULES says where the libraries are.
import { load, recorded, run } from "./common.mjs";

const LIBRARIES = {
  openai: async (order, options) => {
    const { OpenAI } = await load("openai");
    const client = new OpenAI({ ...options, baseURL: `${order.base_url}/v1` });
    const answer = await client.chat.completions.create(request(order), { headers: order.headers });
    return answer.choices[0].message.content;
  },
  anthropic: async (order, options) => {
    const { Anthropic } = await load("@anthropic-ai/sdk");
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

await run((order, attempts) => {
  const retries = order.max_retries === null ? {} : { maxRetries: order.max_retries };
  const options = { apiKey: order.key, fetch: recorded(attempts), ...retries };
  return LIBRARIES[order.api](order, options).then(
    (text) => ({ status: 200, text }),
    (error) => ({
      exception: error.constructor.name, message: error.message, status: error.status, body: error.error,
      code: error.code, type: error.type, headers: Object.fromEntries(error.headers ?? []),
    }),
  );
});
