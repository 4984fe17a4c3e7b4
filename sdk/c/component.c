/* The handler as a component: Pelton calls it with a message and takes what it returns, by the canonical ABI of the
 * component model. The compiler makes a core module of this; `pelton build` makes the component of that.
 *
 * The structs are the types of wit/handler.wit as the ABI lays them out: what C makes of them on wasm32, as is asserted.
 * A caller writes arguments into memory that cabi_realloc has given; they are ours to free. */
#include "pelton.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    pelton_bytes id, pipeline, origin, idempotency_key;
    bool has_key;
    pelton_bytes key;
    const pelton_header *headers;
    size_t header_count;
    pelton_bytes body;
    uint32_t attempt;
    bool has_published_at;
    uint64_t published_at_ms;
    bool replayed, tombstone;
} abi_message;

/* A `result` whose error is the variant `failure`. The reason is in one place, whichever case it is. */
typedef struct {
    uint8_t failed;
    struct {
        uint8_t is_reject;
        struct {
            pelton_bytes reason;
            bool has_after; /* of a retry */
            uint64_t after_ms;
        } of;
    } failure;
} abi_result;

_Static_assert(sizeof(pelton_header) == 16, "a header is two lists");
_Static_assert(offsetof(abi_message, has_key) == 32 && offsetof(abi_message, key) == 36, "the optional key");
_Static_assert(offsetof(abi_message, body) == 52 && offsetof(abi_message, published_at_ms) == 72, "the rest");
_Static_assert(sizeof(abi_message) == 88 && offsetof(abi_message, replayed) == 80, "a message");
_Static_assert(offsetof(abi_result, failure.of.reason) == 16 && offsetof(abi_result, failure.of.has_after) == 24, "a failure");
_Static_assert(sizeof(abi_result) == 40 && offsetof(abi_result, failure.of.after_ms) == 32, "a result");

/* What an empty value points to: it is not null, and takes no memory. */
static char nothing[16] __attribute__((aligned(16)));

/* Gives memory to the caller, with the zero behind it that pelton.h promises. */
__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
    (void)align; /* malloc's own serves all types */
    if (size == 0) return nothing;
    char *memory = realloc(old_size == 0 ? NULL : old, size + 1);
    if (memory == NULL) abort();
    memory[size] = 0;
    return memory;
}

static pelton_bytes lift_bytes(pelton_bytes given) {
    return given.length == 0 ? (pelton_bytes){nothing, 0} : given;
}

static void free_bytes(pelton_bytes given) {
    if (given.length > 0) free((void *)given.data);
}

/* Nothing is copied but the few words of the message itself. */
static pelton_message lift(abi_message *given) {
    for (size_t i = 0; i < given->header_count; i++) {
        pelton_header *header = (pelton_header *)&given->headers[i];
        header->name = lift_bytes(header->name);
        header->value = lift_bytes(header->value);
    }
    return (pelton_message){
        .id = lift_bytes(given->id),
        .pipeline = lift_bytes(given->pipeline),
        .origin = lift_bytes(given->origin),
        .idempotency_key = lift_bytes(given->idempotency_key),
        .key = given->has_key ? lift_bytes(given->key) : (pelton_bytes){NULL, 0},
        .headers = given->headers,
        .header_count = given->header_count,
        .body = lift_bytes(given->body),
        .attempt = given->attempt,
        .has_published_at = given->has_published_at,
        .published_at_ms = given->has_published_at ? given->published_at_ms : 0,
        .replayed = given->replayed,
        .tombstone = given->tombstone,
    };
}

static void free_message(const abi_message *given) {
    const pelton_bytes all[] = {given->id, given->pipeline, given->origin, given->idempotency_key, given->body};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free_bytes(all[i]);
    if (given->has_key) free_bytes(given->key);
    for (size_t i = 0; i < given->header_count; i++) {
        free_bytes(given->headers[i].name);
        free_bytes(given->headers[i].value);
    }
    if (given->header_count > 0) free((void *)given->headers);
}

/* The bytes of the well-formed UTF-8 character here; 0 where there is none. */
static size_t character(const unsigned char *at) {
    unsigned char lead = at[0], low = 0x80, high = 0xbf;
    size_t length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    if (lead == 0xe0) low = 0xa0; /* none is written longer than it need be */
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xed) high = 0x9f; /* halves of surrogate pairs are none */
    if (lead == 0xf4) high = 0x8f; /* nor is anything above U+10FFFF */
    for (size_t i = 1; i < length; i++) {
        if (at[i] < low || at[i] > high) return 0;
        low = 0x80, high = 0xbf;
    }
    return length;
}

/* A string that is no UTF-8 is a trap: what does not belong there becomes `?`. */
static pelton_bytes lower_reason(char *reason) {
    if (reason == NULL) return (pelton_bytes){nothing, 0};
    size_t at = 0;
    while (reason[at] != 0) {
        size_t length = character((unsigned char *)reason + at);
        if (length == 0) reason[at] = '?';
        at += length == 0 ? 1 : length;
    }
    return (pelton_bytes){reason, at};
}

static void lower(pelton_result result, abi_result *answer) {
    memset(answer, 0, sizeof *answer);
    if (result.outcome == PELTON_OK) {
        free(result.reason);
        return;
    }
    answer->failed = 1;
    answer->failure.is_reject = result.outcome == PELTON_REJECT;
    answer->failure.of.reason = lower_reason(result.reason);
    if (result.outcome == PELTON_REJECT) return;
    answer->failure.of.has_after = result.after_ms > 0;
    answer->failure.of.after_ms = result.after_ms;
}

static void free_answer(const abi_result *answer) {
    if (answer->failed && answer->failure.of.reason.data != nothing) free((void *)answer->failure.of.reason.data);
}

/* Below, each function that Pelton calls is followed by the one by which it says that it has read the answer. */
#ifdef PELTON_BATCH

static struct {
    abi_result *answers;
    size_t count;
} returned;

static void *allocate(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (memory == NULL) abort();
    return memory;
}

__attribute__((export_name("pelton:handler/batch-handler@0.1.0#handle-batch"))) void *
pelton_component_handle_batch(abi_message *given, size_t count) {
    pelton_message *messages = allocate(count, sizeof *messages);
    pelton_result *results = allocate(count, sizeof *results);
    for (size_t i = 0; i < count; i++) messages[i] = lift(&given[i]);
    pelton_handle_batch(messages, count, results);
    fflush(NULL);
    returned.answers = allocate(count, sizeof *returned.answers);
    returned.count = count;
    for (size_t i = 0; i < count; i++) {
        lower(results[i], &returned.answers[i]);
        free_message(&given[i]);
    }
    if (count > 0) free(given);
    free(messages);
    free(results);
    return &returned;
}

__attribute__((export_name("cabi_post_pelton:handler/batch-handler@0.1.0#handle-batch"))) void
pelton_component_batch_returned(void *ignored) {
    (void)ignored;
    for (size_t i = 0; i < returned.count; i++) free_answer(&returned.answers[i]);
    free(returned.answers);
}

#else

static abi_result returned;

__attribute__((export_name("pelton:handler/message-handler@0.1.0#handle"))) void *
pelton_component_handle(abi_message *given) {
    pelton_message message = lift(given);
    pelton_result result = pelton_handle(&message);
    fflush(NULL); /* what is left in buffers belongs to this message */
    lower(result, &returned);
    free_message(given);
    free(given);
    return &returned;
}

__attribute__((export_name("cabi_post_pelton:handler/message-handler@0.1.0#handle"))) void
pelton_component_returned(void *ignored) {
    (void)ignored;
    free_answer(&returned);
}

#endif
