//! What a file of cases looks like, for the help of `pelton test`.

pub const CASES: &str = r#"A case gives a message and says what is wanted of it (all but the name may be left out):

  [[case]]
  name = "the gateway is down"
  body = "text"                    # or json = { id = 7 }, body_file = "a.json", body_base64 = "AAE="
  key = "customer-1"
  headers = { trace = "a1" }       # or [["trace", "a1"], ["trace", "a2"]]
  attempt = 3                      # the third start: two have failed. Also id, published_at_ms, replayed, tombstone
  outcome = "retry"                # ok (the default) | retry | reject | trap | timeout | memory
  after = "50ms"                   # the wait that the retry asks for
  reason = "gateway"               # a part of it
  logs = ["order 7"]               # each in some line that it prints; no_logs: in none
  timeout = "1s"                   # limits to run within; else the pipeline's. Also memory = "64MiB"
  within = "100ms"                 # fails when it takes longer
  fresh = true                     # on a new instance
  now_ms = 1796040000000           # the time that it is told, since 1970
  seed = 7                         # its random bytes are those of this number, on a new instance

With several messages, each is a [[case.message]] with what it is and what is wanted of it. They are handed over
together, in order; `again = true` delivers the one before it once more, as the next attempt.

What the handler does beside its answer is said in the case too. Nothing of it leaves the machine:

  config = { region = "eu" }       # in place of what pelton.toml grants; secrets are never read
  state = { "total/c1" = 100 }     # before: text, a number, JSON as a table, { base64 = "AAE=" }; stores.NAME = {...}
  state_after = { "total/c1" = 1350, old = false }   # then each key that is written has to be named; false: is gone

  [[case.http]]                    # a request that it makes; one that is not expected fails the case
  method = "POST"                  # or any
  url = "https://api.example.com/charges"            # the whole of it; `*` at the end stands for any rest
  headers = { content-type = "application/json" }    # each is there
  json = { amount_cents = 1250 }   # is in it; or body = "text"
  times = 1
  answer = { status = 200, json = { id = "ch_1" } }  # also headers, body, body_file, body_base64, delay = "1s"
                                   # or failure = "connection-refused" | "connection-reset" | "connection-timeout"
                                   #    | "timeout" | "incomplete" | "dns" | "tls" | "protocol"
  [[case.sent]]                    # a message that it sends; one that is not expected fails the case
  target = "receipts"
  key = "c1"                       # also headers, topic, delay
  json = { total_cents = 1350 }    # or body = "text": a part of it

  [[case.sql]]                     # where the handler runs SQL: the case is one transaction, rolled back
  run = "update stock set units = 1"                 # on the tables of handler.toml's [sql] schema
  [[case.sql]]
  query = "select item, units from stock"
  before = [{ item = "tea", units = 1 }]             # the rows before the messages, these columns of them
  after = [{ item = "tea", units = 0 }]              # and after; a numeric or a date is text

A message that comes `again` had not completed, as if the worker had died behind its handler: its requests have
happened, and nothing that it wrote or sent is there. It has to send the same idempotency keys again.

Exit codes: 0 all passed; 1 something failed, or cannot be built.

Example:
  pelton test
  pelton test handlers/orders --only gateway
  pelton test --postgres           # with a database, where the handler runs SQL
  pelton test --json > results.json"#;
