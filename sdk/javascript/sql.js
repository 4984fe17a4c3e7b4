// SQL in the transaction that completes the message. What is exported here, and what it means, is said in index.d.ts.

import { doer } from "./effects.js";

// A function for templates, `db`select ... ${id}``, with others beside it.
export function sql(database) {
  const run = (what) => (text, ...given) => doer("sql")[what](statement(database, text, given));
  return Object.assign(run("query"), { query: run("query"), execute: run("execute"), stage: run("stage") });
}

function statement(database, text, given) {
  const parameters = given.map((one, place) => parameter(one, place + 1));
  if (typeof text === "string") return { database, text, parameters };
  // A template: what stands between its parts are the parameters, and never a part of the statement.
  const whole = text.reduce((before, part, place) => `${before}$${place}${part}`);
  return { database, text: whole, parameters };
}

function parameter(given, number) {
  if (given === undefined || given === null) return null;
  if (["boolean", "string", "number", "bigint"].includes(typeof given) || given instanceof Uint8Array) return given;
  if (given instanceof Date) return given.toISOString();
  const kind = Array.isArray(given) ? "an array" : `of type ${typeof given}`;
  const way = "give it as text in the database's own form, such as \"{1,2}\" or JSON.stringify(...)";
  throw new TypeError(`$${number} is ${kind}: ${way}`);
}

// What a query gives: an array of objects by column name. Of columns with one name the last counts.
export function rows(columns, values, affected) {
  const named = (row) => Object.fromEntries(row.map((value, place) => [columns[place].name, value]));
  const hidden = (value) => ({ value, enumerable: false });
  return Object.defineProperties(values.map(named), { columns: hidden(columns), affected: hidden(affected) });
}
