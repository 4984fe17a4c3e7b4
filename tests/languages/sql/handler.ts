// SQL, as the test of SQL wants it, with types.

import { type Database, EffectError, type Message, Reject, sql, type SqlRows, type SqlValue } from "pelton";

interface Order {
  id: number;
  item: string;
  units: number;
  lost?: boolean;
}

interface Kinds {
  big: bigint;
  part: number;
  yes: boolean;
  words: string;
  note: Uint8Array;
  price: string;
  nothing: null;
}

const TEXT = "ä'\"\\ 日本";
const NOTE = new Uint8Array([0, 1, 255]);
const db: Database = sql("shop");

export default async function handle(message: Message): Promise<void> {
  const { id, item, units, lost } = message.json<Order>();
  const rows: SqlRows<Kinds> = db<Kinds>`select ${id}::int8 + 1152921504606846976 as big, ${0.5}::float8 as part,
    ${true}::bool as yes, ${TEXT}::text as words, ${NOTE}::bytea as note, ${"12.50"}::numeric as price, null::int4 as nothing`;
  const [row] = rows;
  if (row === undefined || rows.columns.length !== 7) throw new Reject(`${rows.length} rows`);
  const got: SqlValue[] = [row.big, row.part, row.yes, row.words, String(row.note), row.price, row.nothing];
  const wanted: SqlValue[] = [2n ** 60n + BigInt(id), 0.5, true, TEXT, String(NOTE), "12.50", null];
  if (!wanted.every((value, at) => value === got[at])) throw new Reject(`wanted ${wanted}, got ${got}`);
  const left = taken(id, item, units);
  const changed: number = db.execute`insert into orders (id, item, total) values (${id}, ${item}, ${row.price})`;
  if (changed !== 1) throw new Reject(`${changed} rows`);
  db.stage("insert into log (order_id, note) values ($1, $2)", lost ? -1 : id, NOTE);
  console.log(`order ${id}: ${left} left`);
}

function taken(id: number, item: string, units: number): number {
  try {
    const sold = db<{ units: number }>`update stock set units = units - ${units} where item = ${item} returning units`;
    const [stock] = sold;
    if (stock === undefined) throw new Reject(`order ${id}: there is no ${item}`);
    return stock.units;
  } catch (error) {
    if (!(error instanceof EffectError) || error.constraint !== "stock_not_negative") throw error;
    throw new Reject(`order ${id}: no ${units} ${item} (${error.code})`);
  }
}
