/* A handler of messages for Pelton in C: write pelton_handle, call pelton_retry and pelton_reject.
 *
 * Linked with pelton.c and component.c it becomes a component: Pelton calls the function with one message after another.
 * With worker.c instead it is a worker: a plain WASI program that stays alive and reads its messages. The handler is the
 * same. With -DPELTON_BATCH it is pelton_handle_batch that is called, with many messages at a time.
 *
 * What is printed to standard error goes to the log. Standard output is Pelton's in a worker: nothing may be printed there.
 * A trap (abort, a failed assert, an access beyond the memory) or an end of the program fails the message at hand, which is
 * tried again on a new instance; what is kept in memory is a cache at best. */
#ifndef PELTON_H
#define PELTON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes. They may hold zeros; text is UTF-8. A zero follows them, which `length` does not count, so that text can
 * be handed to C's own functions. `data` is null where there is no value at all: an empty one is not null. */
typedef struct {
    const char *data;
    size_t length;
} pelton_bytes;

typedef struct {
    pelton_bytes name;
    pelton_bytes value;
} pelton_header;

/* One delivery of a message. All of it is freed when the handler returns. */
typedef struct {
    pelton_bytes id;              /* the broker's identity of it, the same on every delivery */
    pelton_bytes pipeline;        /* the pipeline that delivers it */
    pelton_bytes origin;          /* where it was published: topic, queue, stream or list */
    pelton_bytes idempotency_key; /* the same on every attempt: hand it to the services you call */
    pelton_bytes key;             /* the ordering key; data is null where there is none */
    const pelton_header *headers; /* in the producer's order; names may repeat */
    size_t header_count;
    pelton_bytes body;            /* what was published, as it is */
    uint32_t attempt;             /* starts of a handler on this message, this one included */
    bool has_published_at;
    uint64_t published_at_ms;     /* milliseconds since 1970 */
    bool replayed;                /* an operator replays it */
    bool tombstone;               /* the broker has no value at all for it */
} pelton_message;

/* What is to become of a message. All zeros is ok. */
typedef struct {
    enum { PELTON_OK, PELTON_RETRY, PELTON_REJECT } outcome;
    char *reason;      /* from malloc; freed by whoever takes the result */
    uint64_t after_ms; /* of a retry: not before so many milliseconds; 0 leaves it to the pipeline */
} pelton_result;

/* To be written: handles one message. */
pelton_result pelton_handle(const pelton_message *message);

/* To be written instead, with -DPELTON_BATCH: handles `count` messages. `results` has a place for each, all ok. */
void pelton_handle_batch(const pelton_message *messages, size_t count, pelton_result *results);

/* The message is settled. */
static inline pelton_result pelton_ok(void) { return (pelton_result){PELTON_OK, NULL, 0}; }

/* Try again, not before so many milliseconds; 0 leaves that to the pipeline. The reason is made as by printf. */
__attribute__((format(printf, 2, 3))) pelton_result pelton_retry(uint64_t after_ms, const char *reason, ...);

/* Give it up: it will never succeed. The reason is what an operator reads in the dead letter. */
__attribute__((format(printf, 1, 2))) pelton_result pelton_reject(const char *reason, ...);

/* The value of the first header of this name; data is null where there is none. */
pelton_bytes pelton_find_header(const pelton_message *message, const char *name);

/* What a handler may do beside its answer, where its pipeline grants it. A worker says so in handler.toml, by
 * `uses = ["http", "config", "state", "outbox", "sql"]`; in a component there is only what is called. Tests on your machine
 * are linked with fake.c.
 *
 * Each function returns null when it was done, and else why it was not: `CODE: words`, kept until the next call. The
 * code is one of not-granted, unknown-target, unknown-database, refused, limit, too-large, unavailable, for SQL the
 * database's own, as 23505, and for HTTP the names that wasi:http has: connection-timeout, connection-refused,
 * HTTP-request-denied, destination-IP-prohibited and so on. What is given back is freed by pelton_free. */

/* Text as bytes; they are not copied. */
static inline pelton_bytes pelton_text(const char *text) {
    size_t length = 0;
    while (text[length] != 0) length++;
    return (pelton_bytes){text, length};
}

/* Frees what an effect gave back. */
void pelton_free(pelton_bytes bytes);

/* A request over HTTP. All zeros but the URL is a GET. */
typedef struct {
    const char *method;           /* null: POST if there is a body, else GET */
    const char *url;
    const pelton_header *headers;
    size_t header_count;
    pelton_bytes body;            /* data is null where there is none */
    uint64_t timeout_ms;          /* for connecting, and for each wait for the answer; 0 leaves it to the pipeline */
    const pelton_message *message; /* in a batch, the one it is sent for: else it has no idempotency key */
} pelton_http_request;

/* An answer, whatever its status. */
typedef struct {
    int status;
    pelton_header *headers;
    size_t header_count;
    pelton_bytes body;
} pelton_http_response;

/* Sends a request and reads the whole answer. */
const char *pelton_http_send(const pelton_http_request *request, pelton_http_response *response);

/* Frees an answer. */
void pelton_http_free(pelton_http_response *response);

/* The value of the configuration of this name; data is null where the pipeline grants none. */
const char *pelton_config_get(const char *name, pelton_bytes *value);

/* Key-value state. What is written commits with the message, and on anything but ok it never was. `store` is null for
 * the one called "default". Messages that run side by side have the effect of some order, one after the other; only
 * lists of keys are not held to that. */

/* The value of a key; data is null where there is none. */
const char *pelton_state_get(const char *store, const char *key, pelton_bytes *value);
const char *pelton_state_set(const char *store, const char *key, pelton_bytes value);
const char *pelton_state_delete(const char *store, const char *key);

/* Adds to a number, 0 where there is none. Its value is decimal text. `total` may be null. */
const char *pelton_state_increment(const char *store, const char *key, int64_t by, int64_t *total);

/* Sets a value if the key has the one that is expected; data null is no value. `was_set` may be null. Nobody writes
 * between reading and writing: the commit finds out, and the message runs again. */
static inline const char *pelton_state_compare_and_set(const char *store, const char *key, pelton_bytes expected,
                                                       pelton_bytes value, bool *was_set) {
    pelton_bytes is;
    const char *error = pelton_state_get(store, key, &is);
    if (error != NULL) return error;
    bool same = (is.data == NULL) == (expected.data == NULL) && is.length == expected.length;
    for (size_t i = 0; same && i < is.length; i++) same = is.data[i] == expected.data[i];
    pelton_free(is);
    if (was_set != NULL) *was_set = same;
    return same ? pelton_state_set(store, key, value) : NULL;
}

/* All keys. Each is freed by pelton_free, and the list by free. */
const char *pelton_state_list(const char *store, pelton_bytes **keys, size_t *count);

/* A message to send. All zeros but the target and the body will do. */
typedef struct {
    const char *target;           /* the name that the pipeline's configuration gives it */
    pelton_bytes key;             /* messages of one key keep their order; data is null where there is none */
    const pelton_header *headers;
    size_t header_count;
    pelton_bytes body;
    uint64_t delay_ms;            /* deliver it no sooner than this after the commit */
    const char *topic;            /* for a target that leaves it to the handler; else null */
} pelton_outgoing;

/* Sends a message: it commits with the one at hand, and goes out after that. `id`, which may be null, is the one that
 * it will have, the same each time the message at hand is handled. */
const char *pelton_outbox_send(const pelton_outgoing *message, pelton_bytes *id);

/* SQL in the transaction that completes the message. It begins with the first statement and is Pelton's: it commits when the
 * handler has answered ok, together with the record that says that the message was processed; on anything but ok nothing of
 * it was ever done. When a statement fails, the transaction is over: ok would be a retry.
 *
 *     pelton_sql_value id[] = {pelton_sql_integer(7)};
 *     pelton_sql_rows rows;
 *     const char *error = pelton_sql_query("shop", "select stock from items where id = $1", id, 1, &rows);
 *     int64_t stock = pelton_sql_at(&rows, 0, "stock")->of.integer;
 *     pelton_sql_free(&rows); */

enum { PELTON_SQL_NULL, PELTON_SQL_BOOLEAN, PELTON_SQL_INTEGER, PELTON_SQL_FLOAT, PELTON_SQL_TEXT, PELTON_SQL_BYTES };

/* A value of a parameter, or of a column. As a parameter, text is of any type, in the database's own form: "12.50",
 * "2026-11-30", "{a,b}". As a result it is of every type that the others are not, so that no digit of a numeric is lost. */
typedef struct {
    uint8_t is; /* one of those above */
    union {
        bool boolean;
        int64_t integer;
        double number;
        pelton_bytes bytes; /* of text, too */
    } of;
} pelton_sql_value;

static inline pelton_sql_value pelton_sql_value_of(int is) {
    pelton_sql_value value = {(uint8_t)is, {.integer = 0}};
    return value;
}

static inline pelton_sql_value pelton_sql_null(void) { return pelton_sql_value_of(PELTON_SQL_NULL); }

static inline pelton_sql_value pelton_sql_boolean(bool is) {
    pelton_sql_value value = pelton_sql_value_of(PELTON_SQL_BOOLEAN);
    value.of.boolean = is;
    return value;
}

static inline pelton_sql_value pelton_sql_integer(int64_t number) {
    pelton_sql_value value = pelton_sql_value_of(PELTON_SQL_INTEGER);
    value.of.integer = number;
    return value;
}

static inline pelton_sql_value pelton_sql_float(double number) {
    pelton_sql_value value = pelton_sql_value_of(PELTON_SQL_FLOAT);
    value.of.number = number;
    return value;
}

/* Text and bytes are not copied. */
static inline pelton_sql_value pelton_sql_text(const char *text) {
    pelton_sql_value value = pelton_sql_value_of(PELTON_SQL_TEXT);
    value.of.bytes = pelton_text(text);
    return value;
}

static inline pelton_sql_value pelton_sql_bytes(pelton_bytes bytes) {
    pelton_sql_value value = pelton_sql_value_of(PELTON_SQL_BYTES);
    value.of.bytes = bytes;
    return value;
}

/* A column of a result, with its type as the database calls it. */
typedef struct {
    pelton_bytes name, type_name;
} pelton_sql_column;

typedef struct {
    pelton_sql_column *columns;
    size_t column_count;
    pelton_sql_value *values; /* row after row */
    size_t row_count;
    uint64_t affected;        /* how many rows were changed, or given */
} pelton_sql_rows;

/* Runs a statement, and gives its rows. `$1` and those that follow stand for the parameters. */
const char *pelton_sql_query(const char *database, const char *statement, const pelton_sql_value *parameters, size_t count,
                             pelton_sql_rows *rows);

/* Runs a statement, and gives how many rows it changed. `affected` may be null. */
const char *pelton_sql_execute(const char *database, const char *statement, const pelton_sql_value *parameters, size_t count,
                               uint64_t *affected);

/* Sends a statement and does not wait for what it gives: it costs no round trip. If it fails, the message fails with it when
 * it is to be committed. For statements whose result does not matter. */
const char *pelton_sql_stage(const char *database, const char *statement, const pelton_sql_value *parameters, size_t count);

/* The value of a column, by its name; null where there is no such row or column. */
const pelton_sql_value *pelton_sql_at(const pelton_sql_rows *rows, size_t row, const char *column);

/* The constraint that did not hold in the statement that failed last, and what else the database said of it; null where
 * there is none. */
const char *pelton_sql_constraint(void);
const char *pelton_sql_detail(void);

/* Frees rows. */
void pelton_sql_free(pelton_sql_rows *rows);

#ifdef __cplusplus
}
#endif

#endif
