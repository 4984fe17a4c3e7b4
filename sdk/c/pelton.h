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

#ifdef __cplusplus
}
#endif

#endif
