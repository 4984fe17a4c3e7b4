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
 * `uses = ["http", "config", "state", "outbox"]`; in a component there is only what is called. Tests on your machine
 * are linked with fake.c.
 *
 * Each function returns null when it was done, and else why it was not: `CODE: words`, kept until the next call. The
 * code is one of not-granted, unknown-target, refused, limit, unavailable, and for HTTP the names that wasi:http has:
 * connection-timeout, connection-refused, HTTP-request-denied, destination-IP-prohibited and so on. What is given back
 * is freed by pelton_free. */

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

#ifdef __cplusplus
}
#endif

#endif
