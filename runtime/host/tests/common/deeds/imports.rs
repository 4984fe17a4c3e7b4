//! What handlers of deeds import, and what their deeds need of that.

use super::World;

pub fn imports(world: World) -> String {
    let of = |interface: &str, name: &str, as_name: &str, params: &str| {
        format!("(import \"{interface}\" \"{name}\" (func ${as_name} {params}))\n")
    };
    let state = |version: &str, number: &str| {
        let store = format!("wasi:keyvalue/store@{version}");
        let atomics = format!("wasi:keyvalue/atomics@{version}");
        let batch = format!("wasi:keyvalue/batch@{version}");
        of(&store, "open", "open", "(param i32 i32 i32)")
            + &of(&store, "[method]bucket.get", "get", "(param i32 i32 i32 i32)")
            + &of(&store, "[method]bucket.set", "set", "(param i32 i32 i32 i32 i32 i32)")
            + &of(&store, "[method]bucket.delete", "delete", "(param i32 i32 i32 i32)")
            + &of(&store, "[method]bucket.exists", "exists", "(param i32 i32 i32 i32)")
            + &of(&store, "[method]bucket.list-keys", "list", &format!("(param i32 i32 {number} i32)"))
            + &of(&atomics, "increment", "add", "(param i32 i32 i32 i64 i32)")
            + &of(&batch, "get-many", "get_many", "(param i32 i32 i32 i32)")
            + &of(&batch, "set-many", "set_many", "(param i32 i32 i32 i32)")
            + &of(&batch, "delete-many", "delete_many", "(param i32 i32 i32 i32)")
    };
    let config = |interface: &str| {
        of(interface, "get", "config", "(param i32 i32 i32)")
            + &of(interface, "get-all", "all", "(param i32)")
    };
    let swaps = || {
        let atomics = "wasi:keyvalue/atomics@0.2.0-draft2";
        of(atomics, "[static]cas.new", "cas", "(param i32 i32 i32 i32)")
            + &of(atomics, "[method]cas.current", "current", "(param i32 i32)")
            + &of(atomics, "swap", "swap", "(param i32 i32 i32 i32)")
    };
    match world {
        World::Draft => state("0.2.0-draft", "i64"),
        World::Draft2 | World::Batch => {
            state("0.2.0-draft2", "i32 i32")
                + &swaps()
                + &of("pelton:effects/outbox@0.1.0", "send", "send", OUTBOX_PARAMS)
        }
        World::Sql | World::SqlBatch => {
            let sql = "pelton:effects/sql@0.1.0";
            let params = "(param i32 i32 i32 i32 i32 i32 i32)";
            imports(World::Draft2)
                + &of(sql, "query", "query", params)
                + &of(sql, "execute", "execute", params)
                + &of(sql, "stage", "stage", params)
        }
        World::Outbox => of("pelton:effects/outbox@0.1.0", "send", "send", OUTBOX_PARAMS),
        World::Producer => {
            let types = "wasi:messaging/types@0.2.0-draft";
            of(types, "[static]client.connect", "connect", "(param i32 i32 i32)")
                + &of(types, "[constructor]message", "new", "(param i32 i32) (result i32)")
                + &of(types, "[method]message.add-metadata", "meta", "(param i32 i32 i32 i32 i32 i32)")
                + &of(
                    "wasi:messaging/producer@0.2.0-draft",
                    "send",
                    "produce",
                    "(param i32 i32 i32 i32 i32)",
                )
        }
        World::Environment => {
            of("wasi:cli/environment@0.2.0", "get-environment", "environment", "(param i32)")
        }
        World::ConfigRc => config("wasi:config/store@0.2.0-rc.1"),
        World::ConfigSpin => config("wasi:config/store@0.2.0-draft-2024-09-27"),
        World::ConfigRuntime => config("wasi:config/runtime@0.2.0-draft"),
    }
}

/// Lists all pages, whose cursor is a number or a text.
const LIST_BY_NUMBER: &str = "(func $list_all (local $has i32) (local $cursor i64)
    (loop $page
      (call $list (global.get $store) (local.get $has) (local.get $cursor) (i32.const 64))
      (if (i32.load8_u (i32.const 64)) (then (call $error (i32.const 72) (i32.const 2)) (return)))
      (call $texts (i32.load (i32.const 72)) (i32.load (i32.const 76)))
      (local.set $has (i32.load8_u (i32.const 80)))
      (local.set $cursor (i64.load (i32.const 88)))
      (if (local.get $has) (then (call $mark (i32.const 4)) (br $page)))))";
const LIST_BY_TEXT: &str = "(func $list_all (local $has i32) (local $cursor i32) (local $length i32)
    (loop $page
      (call $list (global.get $store) (local.get $has) (local.get $cursor) (local.get $length) (i32.const 64))
      (if (i32.load8_u (i32.const 64)) (then (call $error (i32.const 68) (i32.const 2)) (return)))
      (call $texts (i32.load (i32.const 68)) (i32.load (i32.const 72)))
      (local.set $has (i32.load8_u (i32.const 76)))
      (local.set $cursor (i32.load (i32.const 80)))
      (local.set $length (i32.load (i32.const 84)))
      (if (local.get $has) (then (call $mark (i32.const 4)) (br $page)))))";
/// Sets keys of four digits to nothing.
const SET_COUNTED: &str = "(func $set_counted (param $count i32) (local $n i32)
    (block $end (loop $each
      (br_if $end (i32.eq (local.get $n) (local.get $count)))
      (i32.store8 (i32.const 256) (i32.add (i32.const 48) (i32.rem_u
        (i32.div_u (local.get $n) (i32.const 1000)) (i32.const 10))))
      (i32.store8 (i32.const 257) (i32.add (i32.const 48) (i32.rem_u
        (i32.div_u (local.get $n) (i32.const 100)) (i32.const 10))))
      (i32.store8 (i32.const 258) (i32.add (i32.const 48) (i32.rem_u (i32.div_u (local.get $n) (i32.const 10))
        (i32.const 10))))
      (i32.store8 (i32.const 259) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
      (call $set (global.get $store) (i32.const 256) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 64))
      (if (i32.load8_u (i32.const 64)) (then (call $done) (return)))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br $each))))";
/// What a statement gave: how many rows, and each value. Of an error its case, and its words, code or number.
const SQL: &str = "(func $sql_error
    (call $letter (i32.const 1))
    (call $letter (i32.add (i32.const 6) (i32.load8_u (i32.const 72))))
    (call $letter (i32.const 5))
    (if (i32.eq (i32.load8_u (i32.const 72)) (i32.const 4))
      (then (call $say_number (i64.load (i32.const 80))))
      (else (call $say (i32.load (i32.const 80)) (i32.load (i32.const 84))))))
  (func $sql_value (param $at i32) (local $case i32)
    (local.set $case (i32.load8_u (local.get $at)))
    (if (i32.eq (local.get $case) (i32.const 0)) (then (call $mark (i32.const 0)) (return)))
    (if (i32.eq (local.get $case) (i32.const 1)) (then
      (call $mark (i32.sub (i32.const 3) (i32.load8_u offset=8 (local.get $at)))) (return)))
    (if (i32.eq (local.get $case) (i32.const 2)) (then
      (call $say_number (i64.load offset=8 (local.get $at))) (return)))
    (if (i32.eq (local.get $case) (i32.const 3)) (then
      (call $say_number (i64.trunc_sat_f64_s (f64.load offset=8 (local.get $at)))) (return)))
    (call $say (i32.load offset=8 (local.get $at)) (i32.load offset=12 (local.get $at))))
  (func $sql_row (param $at i32) (param $count i32)
    (block $end (loop $each
      (br_if $end (i32.eqz (local.get $count)))
      (call $sql_value (local.get $at))
      (local.set $at (i32.add (local.get $at) (i32.const 16)))
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (br $each))))
  (func $queried (local $at i32) (local $count i32)
    (if (i32.load8_u (i32.const 64)) (then (call $sql_error) (return)))
    (call $say_number (i64.load (i32.const 88)))
    (local.set $at (i32.load (i32.const 80)))
    (local.set $count (i32.load (i32.const 84)))
    (if (i32.gt_u (local.get $count) (i32.const 10)) (then (return)))
    (block $end (loop $each
      (br_if $end (i32.eqz (local.get $count)))
      (call $sql_row (i32.load (local.get $at)) (i32.load offset=4 (local.get $at)))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (br $each))))
  (func $executed
    (if (i32.load8_u (i32.const 64))
      (then (call $sql_error))
      (else (call $say_number (i64.load (i32.const 72))))))
  (func $statement_staged
    (if (i32.load8_u (i32.const 64)) (then (call $sql_error)) (else (call $mark (i32.const 4)))))";
const PRODUCE: &str =
    "(func $produce_it (param i32 i32 i32 i32 i32 i32 i32 i32) (local $client i32) (local \
    $message i32)
    (if (i32.load8_u (i32.const 64)) (then (call $produced) (return)))
    (local.set $client (i32.load (i32.const 68)))
    (local.set $message (call $new (local.get 2) (local.get 3)))
    (if (local.get 5) (then
      (call $meta (local.get $message) (local.get 4) (local.get 5) (local.get 6) (local.get 7)
        (i32.const 96))))
    (call $produce (local.get $client) (local.get 0) (local.get 1) (local.get $message) (i32.const 64))
    (call $produced))";

pub fn helpers(world: World) -> String {
    match world {
        World::Draft => [LIST_BY_NUMBER, SET_COUNTED].concat(),
        World::Draft2 | World::Batch => [LIST_BY_TEXT, SET_COUNTED].concat(),
        World::Sql | World::SqlBatch => [LIST_BY_TEXT, SET_COUNTED, SQL].concat(),
        World::Producer => PRODUCE.to_owned(),
        World::Outbox | World::ConfigRc | World::ConfigSpin | World::ConfigRuntime | World::Environment => {
            String::new()
        }
    }
}

const OUTBOX_PARAMS: &str = "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i64 i32 i32 i32 i32)";
