/* Effects of a component, by the canonical ABI of the interfaces in wit/deps. What a handler does not call is not in its
 * component, so it needs no grant.
 *
 * What a function gives back that fits in no register is written where its last argument points: a result's case first,
 * then at 4 or 8, by its alignment, what the case carries. Handles are numbers, and are ours to drop. */
#include "effects.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))

/* A value that the host has allocated by cabi_realloc, with a zero behind it. */
static pelton_bytes taken(const char *data, size_t length) {
    return (pelton_bytes){length == 0 ? pelton_empty : data, length};
}

/* ---- configuration ---- */

#define CONFIG "wasi:config/store@0.2.0-rc.1"

typedef struct {
    uint8_t failed;
    struct {
        uint8_t which; /* an option's case, or an error's */
        const char *data;
        size_t length;
    } of;
} text_result; /* result<option<string or list<u8>>, a variant of texts> */

_Static_assert(sizeof(text_result) == 16 && offsetof(text_result, of.data) == 8, "a result of text");

IMPORT(CONFIG, "get") void config_get(const char *name, size_t length, text_result *result);

const char *pelton_config_get(const char *name, pelton_bytes *value) {
    text_result result;
    *value = (pelton_bytes){NULL, 0};
    config_get(name, strlen(name), &result);
    if (result.failed) {
        const char *error = pelton_failed("unavailable", "%.*s", (int)result.of.length, result.of.data);
        pelton_free(taken(result.of.data, result.of.length));
        return error;
    }
    if (result.of.which) *value = taken(result.of.data, result.of.length);
    return NULL;
}

/* ---- state ---- */

#define STORE "wasi:keyvalue/store@0.2.0-draft2"
#define ATOMICS "wasi:keyvalue/atomics@0.2.0-draft2"

typedef struct {
    uint8_t which; /* no such store, no access, other */
    const char *data;
    size_t length;
} store_error;

typedef struct {
    uint8_t failed;
    union {
        int32_t bucket;
        store_error error;
        struct {
            pelton_bytes *keys;
            size_t count;
            bool has_cursor;
            pelton_bytes cursor;
        } page;
    } of;
} store_result;

typedef struct {
    uint8_t failed;
    union {
        int64_t total;
        store_error error;
    } of;
} increment_result;

_Static_assert(offsetof(store_result, of.page.cursor) == 16 && offsetof(store_result, of.error.data) == 8, "a store's result");
_Static_assert(offsetof(increment_result, of.error.data) == 12, "an increment's result");

IMPORT(STORE, "open") void store_open(const char *name, size_t length, store_result *result);
IMPORT(STORE, "[method]bucket.get") void bucket_get(int32_t bucket, const char *key, size_t length, text_result *result);
IMPORT(STORE, "[method]bucket.set")
void bucket_set(int32_t bucket, const char *key, size_t length, const char *data, size_t size, store_result *result);
IMPORT(STORE, "[method]bucket.delete") void bucket_delete(int32_t bucket, const char *key, size_t length, store_result *result);
IMPORT(STORE, "[method]bucket.list-keys")
void bucket_list(int32_t bucket, int32_t has_cursor, const char *cursor, size_t length, store_result *result);
IMPORT(STORE, "[resource-drop]bucket") void bucket_drop(int32_t bucket);
IMPORT(ATOMICS, "increment")
void atomics_increment(int32_t bucket, const char *key, size_t length, int64_t by, increment_result *result);

static const char *store_failed(const char *store, store_error error) {
    if (error.which != 2)
        return pelton_failed("not-granted", "the pipeline grants no store `%s`: add it to its grants.state", store);
    const char *said = pelton_failed("refused", "%.*s", (int)error.length, error.data);
    pelton_free(taken(error.data, error.length));
    return said;
}

static const char *opened(const char **store, int32_t *bucket) {
    store_result result;
    *store = pelton_store(*store);
    store_open(*store, strlen(*store), &result);
    if (result.failed) return store_failed(*store, result.of.error);
    *bucket = result.of.bucket;
    return NULL;
}

const char *pelton_state_get(const char *store, const char *key, pelton_bytes *value) {
    int32_t bucket;
    text_result result;
    *value = (pelton_bytes){NULL, 0};
    const char *error = opened(&store, &bucket);
    if (error != NULL) return error;
    bucket_get(bucket, key, strlen(key), &result);
    bucket_drop(bucket);
    if (result.failed)
        return store_failed(store, (store_error){result.of.which, result.of.data, result.of.length});
    if (result.of.which) *value = taken(result.of.data, result.of.length);
    return NULL;
}

const char *pelton_state_set(const char *store, const char *key, pelton_bytes value) {
    int32_t bucket;
    store_result result;
    const char *error = opened(&store, &bucket);
    if (error != NULL) return error;
    bucket_set(bucket, key, strlen(key), value.data, value.length, &result);
    bucket_drop(bucket);
    return result.failed ? store_failed(store, result.of.error) : NULL;
}

const char *pelton_state_delete(const char *store, const char *key) {
    int32_t bucket;
    store_result result;
    const char *error = opened(&store, &bucket);
    if (error != NULL) return error;
    bucket_delete(bucket, key, strlen(key), &result);
    bucket_drop(bucket);
    return result.failed ? store_failed(store, result.of.error) : NULL;
}

const char *pelton_state_increment(const char *store, const char *key, int64_t by, int64_t *total) {
    int32_t bucket;
    increment_result result;
    const char *error = opened(&store, &bucket);
    if (error != NULL) return error;
    atomics_increment(bucket, key, strlen(key), by, &result);
    bucket_drop(bucket);
    if (result.failed) return store_failed(store, result.of.error);
    if (total != NULL) *total = result.of.total;
    return NULL;
}

const char *pelton_state_list(const char *store, pelton_bytes **keys, size_t *count) {
    int32_t bucket;
    pelton_bytes cursor = {NULL, 0};
    bool more = true;
    *keys = NULL;
    *count = 0;
    const char *error = opened(&store, &bucket);
    if (error != NULL) return error;
    while (more && error == NULL) {
        store_result result;
        bucket_list(bucket, cursor.data != NULL, cursor.data, cursor.length, &result);
        pelton_free(cursor);
        if (result.failed) {
            error = store_failed(store, result.of.error);
            break;
        }
        size_t got = result.of.page.count;
        if (got > 0) {
            *keys = realloc(*keys, (*count + got) * sizeof **keys);
            if (*keys == NULL) abort();
            for (size_t i = 0; i < got; i++)
                (*keys)[*count + i] = taken(result.of.page.keys[i].data, result.of.page.keys[i].length);
            free(result.of.page.keys);
        }
        *count += got;
        more = result.of.page.has_cursor;
        cursor = more ? taken(result.of.page.cursor.data, result.of.page.cursor.length) : (pelton_bytes){NULL, 0};
    }
    bucket_drop(bucket);
    return error;
}

/* ---- outgoing messages ---- */

#define OUTBOX "pelton:effects/outbox@0.1.0"

typedef struct {
    uint8_t failed;
    union {
        pelton_bytes id;
        struct {
            uint8_t which; /* unknown target, refused, limit */
            pelton_bytes text;
        } error;
    } of;
} send_result;

_Static_assert(sizeof(send_result) == 16 && offsetof(send_result, of.error.text) == 8, "a sending's result");

IMPORT(OUTBOX, "send")
void outbox_send(const char *target, size_t length, int32_t has_key, const char *key, size_t key_length,
                 const pelton_header *headers, size_t header_count, const char *body, size_t body_length,
                 int32_t has_delay, uint64_t delay_ms, int32_t has_topic, const char *topic, size_t topic_length,
                 send_result *result);

const char *pelton_outbox_send(const pelton_outgoing *message, pelton_bytes *id) {
    static const char *const codes[] = {"unknown-target", "refused", "limit"};
    send_result result;
    const char *topic = message->topic;
    if (id != NULL) *id = (pelton_bytes){NULL, 0};
    outbox_send(message->target, strlen(message->target), message->key.data != NULL, message->key.data,
                message->key.length, message->headers, message->header_count, message->body.data, message->body.length,
                message->delay_ms > 0, message->delay_ms, topic != NULL, topic, topic ? strlen(topic) : 0, &result);
    if (result.failed) {
        pelton_bytes text = result.of.error.text;
        const char *said = pelton_failed(codes[result.of.error.which % 3], "%.*s", (int)text.length, text.data);
        pelton_free(text);
        return said;
    }
    pelton_bytes given = taken(result.of.id.data, result.of.id.length);
    if (id != NULL) *id = given;
    else pelton_free(given);
    return NULL;
}
