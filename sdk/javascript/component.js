// The way between a handler and the contract in wit/. Bundled into a component only.

import { Message, Reject, Retry } from "./index.js";

// Characters of a stack that an operator is shown; the host keeps 4096 bytes.
const ROOM = 3800;
const BIGGEST = 2n ** 64n - 1n;

export const messageHandler = (handle) => ({
  async handle(given) {
    try {
      await handle(message(given));
    } catch (error) {
      throw failure(error);
    }
  },
});

export const batchHandler = (handle) => {
  const run = async (given) => {
    try {
      return results(await handle(given.map(message)), given.length);
    } catch (error) {
      if (given.length === 1) return [failed(error)];
    }
    // One of them is to blame: alone, it is found.
    const all = [];
    for (const one of given) all.push(...(await run([one])));
    return all;
  };
  return { handleBatch: run };
};

function message(given) {
  const at = given.publishedAtMs;
  return new Message({ ...given, publishedAtMs: at === undefined ? undefined : Number(at) });
}

function results(answers, count) {
  if (answers === undefined || answers === null) return new Array(count).fill(done());
  if (!Array.isArray(answers) || answers.length !== count) {
    const what = Array.isArray(answers) ? `${answers.length} results` : `a ${typeof answers}`;
    throw new TypeError(`the batch handler returned ${what} for ${count} messages`);
  }
  return answers.map((answer) => {
    if (answer === undefined || answer === null) return done();
    if (answer instanceof Error) return failed(answer);
    throw new TypeError(`the batch handler returned ${String(answer)}: a result is nothing, a Retry or a Reject`);
  });
}

const done = () => ({ tag: "ok", val: undefined });
const failed = (error) => ({ tag: "err", val: failure(error) });

function failure(error) {
  if (error instanceof Reject) return { tag: "reject", val: error.message };
  if (error instanceof Retry) {
    const afterMs = error.afterMs === undefined ? undefined : BigInt(Math.ceil(error.afterMs));
    const within = afterMs !== undefined && afterMs > BIGGEST ? BIGGEST : afterMs;
    return { tag: "retry", val: { reason: error.message, afterMs: within } };
  }
  return { tag: "retry", val: { reason: uncaught(error), afterMs: undefined } };
}

// An error that the handler did not mean: its own words first, then where it came from.
function uncaught(error) {
  if (!(error instanceof Error)) return `uncaught ${String(error)}`;
  let text = `uncaught ${String(error)}`;
  for (let one = error; one instanceof Error; one = one.cause) {
    if (one !== error) text += `\ncaused by ${String(one)}`;
    text += frames(one.stack ?? "");
  }
  return text.length <= ROOM ? text : `${text.slice(0, ROOM)}\n...`;
}

// The engine's frames are `handle@handler.js:12:3`, in the bundle; the user's are in the sources.
function frames(stack) {
  let text = "";
  for (const frame of stack.split("\n")) {
    const found = /^(.*)@(.*):(\d+):(\d+)$/.exec(frame);
    if (!found) continue;
    const [, name, , line] = found;
    const source = globalThis.peltonSources?.(Number(line));
    if (source?.startsWith("pelton:")) continue;
    text += `\n    at ${name || "<anonymous>"} (${source ?? `bundle:${line}`})`;
  }
  return text;
}
