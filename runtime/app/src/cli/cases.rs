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

With several messages, each is a [[case.message]] with what it is and what is wanted of it. They are handed over
together, in order; `again = true` delivers the one before it once more, as the next attempt.

Exit codes: 0 all passed; 1 something failed, or cannot be built.

Example:
  pelton test
  pelton test handlers/orders --only gateway
  pelton test --json > results.json"#;
