#!/usr/bin/env node
// pelton-componentize SOURCE -o COMPONENT [--batch] [--uses WORDS]
// Bundles a handler (JavaScript or TypeScript, with whatever it imports) and makes a component of it.

import { componentize } from "@bytecodealliance/componentize-js";
import { build } from "esbuild";
import { cp, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

// For each word of `uses` in handler.toml, the interfaces that it adds, by what wire.js calls them. `fetch` is the
// engine's own.
const USES = {
  http: {},
  config: { config: "wasi:config/store@0.2.0-rc.1" },
  state: { store: "wasi:keyvalue/store@0.2.0-draft2", atomics: "wasi:keyvalue/atomics@0.2.0-draft2" },
  outbox: { outbox: "pelton:effects/outbox@0.1.0" },
  sql: { sql: "pelton:effects/sql@0.1.0" },
};

const here = dirname(fileURLToPath(import.meta.url));

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      output: { type: "string", short: "o" },
      batch: { type: "boolean", default: false },
      // `pelton build` takes it from handler.toml.
      uses: { type: "string", default: process.env.PELTON_USES ?? "" },
      version: { type: "boolean", default: false },
    },
  });
  if (values.version) return console.log("pelton-componentize 0.1.0");
  const [source] = positionals;
  if (!source || !values.output) fail("usage: pelton-componentize SOURCE -o COMPONENT [--batch] [--uses http,state]");
  const uses = values.uses.split(/[\s,]+/).filter(Boolean);
  const unknown = uses.filter((word) => !(word in USES));
  if (unknown.length) fail(`\`uses\` has the words ${Object.keys(USES).join(", ")}, not ${unknown.join(", ")}`);
  const folder = await mkdtemp(join(tmpdir(), "pelton-"));
  try {
    const bundle = join(folder, "handler.js");
    const wire = join(folder, "wire.js");
    await writeFile(wire, wired(uses));
    await writeFile(bundle, await bundled(resolve(source), values.batch, wire));
    const { component } = await componentize({
      sourcePath: bundle,
      ...(await target(folder, values.batch ? "batch" : "handler", uses)),
      disableFeatures: uses.includes("http") ? ["fetch-event"] : ["http", "fetch-event"],
    });
    await mkdir(dirname(resolve(values.output)), { recursive: true });
    // Renamed into place: whoever reads it meanwhile sees the old bytes or the new.
    const fresh = `${values.output}.${process.pid}`;
    await writeFile(fresh, component);
    await rename(fresh, values.output);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

// The world: the contract's own, or one that adds what the handler uses to it.
async function target(folder, world, uses) {
  const wit = resolve(here, "../../wit");
  const words = uses.filter((word) => Object.keys(USES[word]).length);
  if (!words.length) return { witPath: wit, worldName: world };
  const witPath = join(folder, "wit");
  await cp(join(wit, "deps"), join(witPath, "deps"), { recursive: true });
  await cp(join(wit, "handler.wit"), join(witPath, "deps/handler/handler.wit"));
  const included = [`pelton:handler/${world}`, ...words.map((word) => `pelton:uses/${word}`)];
  const lines = included.map((name) => `  include ${name}@0.1.0;`).join("\n");
  await writeFile(join(witPath, "component.wit"), `package pelton:component;\nworld component {\n${lines}\n}\n`);
  return { witPath, worldName: "component" };
}

// A module that hands over what the component imports, before the handler's own code runs.
function wired(uses) {
  const all = uses.flatMap((word) => Object.entries(USES[word]));
  const imports = all.map(([name, from]) => `import * as ${name} from ${JSON.stringify(from)};\n`).join("");
  const given = [`http: ${uses.includes("http")}`, ...all.map(([name]) => name)].join(", ");
  return `${imports}import { connect } from ${JSON.stringify(join(here, "wire.js"))};\nconnect({ ${given} });\n`;
}

// One module of the handler, the SDK and the glue, with a table that leads from its lines to those of the sources.
async function bundled(source, batch, wire) {
  const glue = batch ? "batchHandler" : "messageHandler";
  const entry = `
import ${JSON.stringify(wire)};
import * as handler from ${JSON.stringify(source)};
import { ${glue} as component } from ${JSON.stringify(join(here, "component.js"))};
if (typeof handler.default !== "function") {
  throw new TypeError("it has no \`export default function\`: that is the handler");
}
export const ${glue} = component(handler.default);
`;
  const out = await build({
    stdin: { contents: entry, resolveDir: process.cwd(), sourcefile: "pelton:entry", loader: "js" },
    bundle: true,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
    target: "es2022",
    // One SDK, wherever it is imported from: what is thrown is what is looked for.
    alias: { pelton: join(here, "index.js") },
    // What the host has.
    external: ["pelton:*", "wasi:*"],
    sourcemap: "external",
    outdir: "out",
    write: false,
    logLevel: "silent",
  });
  const text = (ending) => out.outputFiles.find((file) => file.path.endsWith(ending)).text;
  const map = JSON.parse(text(".map"));
  // They are relative to the folder `out`.
  const sources = map.sources.map((path) => (resolve("out", path) === wire ? "pelton:sdk" : named(resolve("out", path))));
  const table = JSON.stringify({ sources, lines: lines(map.mappings) });
  return `${text(".js")}
const peltonTable = ${table};
globalThis.peltonSources = (line) => {
  const [source, at] = peltonTable.lines[line - 1] ?? [];
  return source === undefined ? undefined : \`\${peltonTable.sources[source]}:\${at}\`;
};
`;
}

const named = (path) => (path.startsWith(here) || path.includes("pelton:") ? "pelton:sdk" : relative(process.cwd(), path));

// For each line of the bundle the source and line of its first mapping; from a source map's base 64 numbers.
function lines(mappings) {
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  let [source, line] = [0, 0];
  return mappings.split(";").map((segments) => {
    let first = null;
    for (const segment of segments.split(",")) {
      const numbers = [];
      let [value, shift] = [0, 0];
      for (const letter of segment) {
        const digit = digits.indexOf(letter);
        value += (digit & 31) << shift;
        shift += 5;
        if (digit & 32) continue;
        numbers.push(value & 1 ? -(value >> 1) : value >> 1);
        [value, shift] = [0, 0];
      }
      if (numbers.length < 4) continue;
      source += numbers[1];
      line += numbers[2];
      first ??= [source, line + 1];
    }
    return first ?? [];
  });
}

function fail(text) {
  console.error(text);
  process.exit(1);
}

main().catch(async (error) => {
  if (!error.errors?.length) fail(`pelton-componentize: ${error.message}`);
  // What is wrong in the handler's own sources.
  const { formatMessages } = await import("esbuild");
  fail((await formatMessages(error.errors, { kind: "error" })).join("\n"));
});
