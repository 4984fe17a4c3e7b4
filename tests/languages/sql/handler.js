// SQL, as the test of SQL wants it.

import { EffectError, Reject, sql } from "pelton";

const TEXT = "ä'\"\\ 日本";
const NOTE = new Uint8Array([0, 1, 255]);
const db = sql("shop");

export default function handle(message) {
  const { id, item, units, lost } = message.json();
  const [row] = db`select ${id}::int8 + 1152921504606846976 as big, ${0.5}::float8 as part, ${true}::bool as yes,
    ${TEXT}::text as words, ${NOTE}::bytea as note, ${"12.50"}::numeric as price, null::int4 as nothing`;
  const got = [row.big, row.part, row.yes, row.words, String(row.note), row.price, row.nothing];
  const wanted = [2n ** 60n + BigInt(id), 0.5, true, TEXT, String(NOTE), "12.50", null];
  if (!wanted.every((value, at) => value === got[at])) throw new Reject(`wanted ${wanted}, got ${got}`);
  const left = taken(id, item, units);
  const changed = db.execute`insert into orders (id, item, total) values (${id}, ${item}, ${row.price})`;
  if (changed !== 1) throw new Reject(`${changed} rows`);
  db.stage("insert into log (order_id, note) values ($1, $2)", lost ? -1 : id, NOTE);
  console.log(`order ${id}: ${left} left`);
}

function taken(id, item, units) {
  try {
    const [{ units: left }] = db`update stock set units = units - ${units} where item = ${item} returning units`;
    return left;
  } catch (error) {
    if (!(error instanceof EffectError) || error.constraint !== "stock_not_negative") throw error;
    throw new Reject(`order ${id}: no ${units} ${item} (${error.code})`);
  }
}
