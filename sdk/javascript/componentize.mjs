#!/usr/bin/env node
// pelton-componentize SOURCE -o COMPONENT [--batch]
// Bundles a handler (JavaScript or TypeScript, with whatever it imports) and makes a component of it.

import { componentize } from "@bytecodealliance/componentize-js";
import { build } from "esbuild";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const here = dirname(fileURLToPath(import.meta.url));

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      output: { type: "string", short: "o" },
      batch: { type: "boolean", default: false },
      version: { type: "boolean", default: false },
    },
  });
  if (values.version) return console.log("pelton-componentize 0.1.0");
  const [source] = positionals;
  if (!source || !values.output) fail("usage: pelton-componentize SOURCE -o COMPONENT [--batch]");
  const folder = await mkdtemp(join(tmpdir(), "pelton-"));
  try {
    const bundle = join(folder, "handler.js");
    await writeFile(bundle, await bundled(resolve(source), values.batch));
    const { component } = await componentize({
      sourcePath: bundle,
      witPath: resolve(here, "../../wit"),
      worldName: values.batch ? "batch" : "handler",
      disableFeatures: ["http", "fetch-event"],
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

// One module of the handler, the SDK and the glue, with a table that leads from its lines to those of the sources.
async function bundled(source, batch) {
  const glue = batch ? "batchHandler" : "messageHandler";
  const entry = `
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
    sourcemap: "external",
    outdir: "out",
    write: false,
    logLevel: "silent",
  });
  const text = (ending) => out.outputFiles.find((file) => file.path.endsWith(ending)).text;
  const map = JSON.parse(text(".map"));
  // They are relative to the folder `out`.
  const sources = map.sources.map((path) => named(resolve("out", path)));
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
