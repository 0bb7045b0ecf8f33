// Calls by the other official JavaScript libraries, one after the other: {"calls": [ORDER...]} on stdin, a list of the same
// length on stdout. An ORDER is that of call.py, without streams; TOLLGATE_NODE_MODULES says where the libraries are.
import { load, recorded, run, told } from "./common.mjs";

const messagesOf = (order) => [{ role: "user", content: order.prompt }];

/** One call each, with the text of its answer. What a library raises is for the caller. */
const LIBRARIES = {
  google: async (order) => {
    const { GoogleGenAI } = await load("@google/genai");
    const client = new GoogleGenAI({ apiKey: order.key, httpOptions: { baseUrl: order.base_url, headers: order.headers } });
    return (await client.models.generateContent({ model: order.model, contents: order.prompt })).text;
  },
  cohere: async (order) => {
    const { CohereClientV2 } = await load("cohere-ai");
    const client = new CohereClientV2({ token: order.key, baseUrl: order.base_url, headers: order.headers });
    return (await client.chat({ model: order.model, messages: messagesOf(order) })).message.content[0].text;
  },
  mistral: async (order) => {
    const { Mistral } = await load("@mistralai/mistralai");
    // Off by default; with it on, the library obeys `retry-after`.
    const backoff = { initialInterval: 500, maxInterval: 5_000, exponent: 2, maxElapsedTime: 60_000 };
    const retryConfig = order.retries ? { strategy: "backoff", backoff } : { strategy: "none" };
    const client = new Mistral({ apiKey: order.key, serverURL: order.base_url, retryConfig });
    const answer = await client.chat.complete({ model: order.model, messages: messagesOf(order) }, { headers: order.headers });
    return answer.choices[0].message.content;
  },
  ollama: async (order) => {
    const { Ollama } = await load("ollama");
    const client = new Ollama({ host: order.base_url, headers: order.headers });
    return (await client.chat({ model: order.model, messages: messagesOf(order) })).message.content;
  },
  bedrock: async (order, attempts) => {
    const { BedrockRuntimeClient, ConverseCommand } = await load("@aws-sdk/client-bedrock-runtime");
    const credentials = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: order.key };
    const client = new BedrockRuntimeClient({ region: "us-east-1", endpoint: order.base_url, credentials });
    const add = (next) => (args) => {
      Object.assign(args.request.headers, order.headers);
      return next(args);
    };
    // It has a client of HTTP of its own, which no `fetch` sees.
    const send = client.config.requestHandler;
    client.config.requestHandler = {
      handle: async (request, options) => {
        const attempt = { retry_count: null };
        attempts.push(attempt);
        const answer = await send.handle(request, options);
        attempt.status = answer.response.statusCode;
        attempt.headers = told(new Map(Object.entries(answer.response.headers)));
        return answer;
      },
    };
    client.middlewareStack.add(add, { step: "build", name: "further headers" });
    const messages = [{ role: "user", content: [{ text: order.prompt }] }];
    const answer = await client.send(new ConverseCommand({ modelId: order.model, messages }));
    return answer.output.message.content[0].text;
  },
  // Calls the tool that the order names in place of a model.
  mcp: async (order) => {
    const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
    const { StreamableHTTPClientTransport } = await load("@modelcontextprotocol/sdk/client/streamableHttp.js");
    const client = new Client({ name: "scenario", version: "1" });
    const requestInit = { headers: order.headers };
    try {
      await client.connect(new StreamableHTTPClientTransport(new URL(`${order.base_url}/mcp`), { requestInit }));
      const result = await client.callTool({ name: order.model, arguments: { query: order.prompt } });
      return result.content[0].text;
    } finally {
      await client.close();
    }
  },
};

const { fetch: send } = globalThis;

await run((order, attempts) => {
  globalThis.fetch = recorded(attempts, send);
  return LIBRARIES[order.library](order, attempts).then(
    (text) => ({ status: 200, text }),
    (error) => ({
      exception: error.constructor.name, message: error.message,
      status: error.status ?? error.statusCode ?? error.status_code ?? error.$metadata?.httpStatusCode ?? error.code,
    }),
  );
});
