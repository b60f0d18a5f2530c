// Run by node with the path of the openai package: reads jobs from standard input, writes a line for each.
// The calls are those of openai_python.py, and so is what they write down.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const { default: OpenAI } = await import(pathToFileURL(process.argv[2]).href);
const messages = [{ role: "user", content: "hi" }];
const tools = [{ type: "function", function: { name: "pick_color", parameters: { type: "object" } } }];

function completed(answer) {
  const choice = answer.choices[0];
  const calls = (choice.message.tool_calls ?? []).map((c) => [c.id, c.function.name, c.function.arguments]);
  return {
    text: choice.message.content ?? "", role: choice.message.role, finish: choice.finish_reason,
    total: answer.usage?.total_tokens ?? null, calls,
  };
}

async function stream(api) {
  let text = "", finish = null, total = null;
  for await (const chunk of await api.chat.completions.create({ model: "m", messages, stream: true })) {
    for (const choice of chunk.choices) {
      text += choice.delta.content ?? "";
      finish = choice.finish_reason ?? finish;
    }
    total = chunk.usage?.total_tokens ?? total;
  }
  return { text, finish, total };
}

async function helper(api, more = {}) {
  const running = api.chat.completions.stream({ model: "m", messages, ...more });
  return completed(await running.finalChatCompletion());
}

async function models(api) {
  const ids = [];
  for await (const model of api.models.list()) ids.push(model.id);
  return { ids };
}

async function completion(api) {
  const answer = await api.completions.create({ model: "m", prompt: "hi" });
  return { text: answer.choices[0].text, finish: answer.choices[0].finish_reason };
}

async function embeddings(api) {
  const vector = (await api.embeddings.create({ model: "m", input: "hi" })).data[0].embedding;
  return { size: vector.length, first: vector[0], norm: Math.hypot(...vector) };
}

async function responses(api) {
  const answer = await api.responses.create({ model: "m", input: "hi" });
  return { text: answer.output_text, status: answer.status };
}

async function responsesHelper(api) {
  const running = api.responses.stream({ model: "m", input: "hi" });
  let text = "";
  for await (const event of running) text += event.type === "response.output_text.delta" ? event.delta : "";
  return { text, status: (await running.finalResponse()).status };
}

async function error(api) {
  try {
    await api.chat.completions.create({ model: "m", messages });
  } catch (raised) {
    if (!(raised instanceof OpenAI.APIError)) throw raised;
    return { status: raised.status ?? null, shown: raised.message, code: raised.code ?? null, param: raised.param ?? null };
  }
  return { status: 200, shown: "no error was raised" };
}

const calls = {
  models, stream, helper, completion, embeddings, responses, responses_helper: responsesHelper, error,
  chat: async (api) => completed(await api.chat.completions.create({ model: "m", messages })),
  tools: async (api) => completed(await api.chat.completions.create({ model: "m", messages, tools })),
  tools_helper: (api) => helper(api, { tools }),
};

function told(raised) {
  if (raised instanceof Error) return `${raised.constructor.name}: ${raised.message}`.slice(0, 400);
  return `not an Error: ${JSON.stringify(raised)}`.slice(0, 400);
}

async function within(work) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error("no end after 10 s")), 10000); });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

process.on("unhandledRejection", () => {});
for (const job of JSON.parse(readFileSync(0, "utf8"))) {
  const api = new OpenAI({ baseURL: job.base_url, apiKey: "replayed", maxRetries: 0, timeout: 10000, dangerouslyAllowBrowser: true });
  let line;
  try {
    line = { value: await within(calls[job.call](api)) };
  } catch (raised) {
    line = { error: told(raised) };
  }
  process.stdout.write(JSON.stringify(line) + "\n");
}
process.exit(0);
