/* Effects of a worker: calls of the host, in JSON, before the answer. Pelton's docs/handlers/plain-programs.md describes
 * the bytes. Only what the host writes is read: it is JSON, and has what it should. */
#include "effects.h"

#ifdef PELTON_USES
#include "worker_json.h"

static void add_headers(text *json, const pelton_header *headers, size_t count, void (*value)(text *, pelton_bytes)) {
    for (size_t i = 0; i < count; i++) {
        add_text(json, i > 0 ? ",[" : "[");
        add_string(json, headers[i].name);
        add_text(json, ",");
        value(json, headers[i].value);
        add_text(json, "]");
    }
}

const char *pelton_http_send(const pelton_http_request *request, pelton_http_response *response) {
    text json = {0};
    char *answer;
    memset(response, 0, sizeof *response);
    add_text(&json, "{\"method\":");
    add_string(&json, pelton_text(pelton_method(request)));
    add_text(&json, ",\"url\":");
    add_string(&json, pelton_text(request->url));
    add_text(&json, ",\"headers\":[");
    add_headers(&json, request->headers, request->header_count, add_string);
    add_text(&json, "],\"body\":");
    add_bytes(&json, request->body);
    add_text(&json, ",\"timeout_ms\":");
    if (request->timeout_ms > 0) add_number(&json, (long long)request->timeout_ms);
    else add_text(&json, "null");
    add_text(&json, ",\"message\":");
    add_string(&json, request->message ? request->message->idempotency_key : (pelton_bytes){NULL, 0});
    add_text(&json, "}");
    const char *error = call("http.send", &json, &answer);
    if (error != NULL) return error;
    response->status = (int)strtol(member(answer, "status"), NULL, 10);
    response->body = read_bytes(member(answer, "body"));
    if (response->body.data == NULL) response->body.data = pelton_empty;
    for (const char *pair = first(member(answer, "headers")); pair != NULL; pair = next(pair)) {
        const char *name = first(pair);
        pelton_header *more = realloc(response->headers, (response->header_count + 1) * sizeof *more);
        if (more == NULL || name == NULL) abort();
        more[response->header_count++] = (pelton_header){read_string(name), read_string(next(name))};
        response->headers = more;
    }
    free(answer);
    return NULL;
}

const char *pelton_config_get(const char *name, pelton_bytes *value) {
    text json = {0};
    char *answer;
    *value = (pelton_bytes){NULL, 0};
    add_text(&json, "{\"name\":");
    add_string(&json, pelton_text(name));
    add_text(&json, "}");
    const char *error = call("config.get", &json, &answer);
    if (error != NULL) return error;
    *value = read_string(member(answer, "value"));
    free(answer);
    return NULL;
}

/* `{"store":...,"key":...`, to be gone on with. */
static text of_key(const char *store, const char *key) {
    text json = {0};
    add_text(&json, "{\"store\":");
    add_string(&json, pelton_text(pelton_store(store)));
    add_text(&json, ",\"key\":");
    add_string(&json, pelton_text(key));
    return json;
}

const char *pelton_state_get(const char *store, const char *key, pelton_bytes *value) {
    text json = of_key(store, key);
    char *answer;
    *value = (pelton_bytes){NULL, 0};
    add_text(&json, "}");
    const char *error = call("state.get", &json, &answer);
    if (error != NULL) return error;
    *value = read_bytes(member(answer, "value"));
    free(answer);
    return NULL;
}

const char *pelton_state_set(const char *store, const char *key, pelton_bytes value) {
    text json = of_key(store, key);
    char *answer;
    add_text(&json, ",\"value\":");
    add_bytes(&json, value.data == NULL ? (pelton_bytes){pelton_empty, 0} : value);
    add_text(&json, "}");
    const char *error = call("state.set", &json, &answer);
    if (error == NULL) free(answer);
    return error;
}

const char *pelton_state_delete(const char *store, const char *key) {
    text json = of_key(store, key);
    char *answer;
    add_text(&json, "}");
    const char *error = call("state.delete", &json, &answer);
    if (error == NULL) free(answer);
    return error;
}

const char *pelton_state_increment(const char *store, const char *key, int64_t by, int64_t *total) {
    text json = of_key(store, key);
    char *answer;
    add_text(&json, ",\"by\":");
    add_number(&json, by);
    add_text(&json, "}");
    const char *error = call("state.increment", &json, &answer);
    if (error != NULL) return error;
    if (total != NULL) *total = strtoll(member(answer, "value"), NULL, 10);
    free(answer);
    return NULL;
}

/* Keys in one answer. */
enum { PAGE = 1000 };

const char *pelton_state_list(const char *store, pelton_bytes **keys, size_t *count) {
    bool more = true;
    *keys = NULL;
    *count = 0;
    while (more) {
        text json = {0};
        char *answer;
        add_text(&json, "{\"store\":");
        add_string(&json, pelton_text(pelton_store(store)));
        add_text(&json, ",\"after\":");
        add_string(&json, *count > 0 ? (*keys)[*count - 1] : (pelton_bytes){NULL, 0});
        add_text(&json, ",\"max\":");
        add_number(&json, PAGE);
        add_text(&json, "}");
        const char *error = call("state.list", &json, &answer);
        if (error != NULL) return error;
        size_t before = *count;
        for (const char *key = first(member(answer, "keys")); key != NULL; key = next(key)) {
            *keys = realloc(*keys, (*count + 1) * sizeof **keys);
            if (*keys == NULL) abort();
            (*keys)[(*count)++] = read_string(key);
        }
        more = *member(answer, "more") == 't' && *count > before;
        free(answer);
    }
    return NULL;
}

const char *pelton_outbox_send(const pelton_outgoing *message, pelton_bytes *id) {
    text json = {0};
    char *answer;
    if (id != NULL) *id = (pelton_bytes){NULL, 0};
    add_text(&json, "{\"target\":");
    add_string(&json, pelton_text(message->target));
    add_text(&json, ",\"key\":");
    add_bytes(&json, message->key);
    add_text(&json, ",\"headers\":[");
    add_headers(&json, message->headers, message->header_count, add_bytes);
    add_text(&json, "],\"body\":");
    add_bytes(&json, message->body.data == NULL ? (pelton_bytes){pelton_empty, 0} : message->body);
    add_text(&json, ",\"delay_ms\":");
    if (message->delay_ms > 0) add_number(&json, (long long)message->delay_ms);
    else add_text(&json, "null");
    add_text(&json, ",\"topic\":");
    add_string(&json, message->topic ? pelton_text(message->topic) : (pelton_bytes){NULL, 0});
    add_text(&json, "}");
    const char *error = call("outbox.send", &json, &answer);
    if (error != NULL) return error;
    if (id != NULL) *id = read_string(member(answer, "id"));
    free(answer);
    return NULL;
}

#else /* without PELTON_USES */

#define WITHOUT(effect) \
    return pelton_failed("unavailable", "this worker was built without it: add `uses = [\"%s\"]` to handler.toml, and " \
                                        "build it again", effect)

const char *pelton_http_send(const pelton_http_request *request, pelton_http_response *response) {
    (void)request;
    *response = (pelton_http_response){0};
    WITHOUT("http");
}

const char *pelton_config_get(const char *name, pelton_bytes *value) {
    (void)name;
    *value = (pelton_bytes){NULL, 0};
    WITHOUT("config");
}

const char *pelton_state_get(const char *store, const char *key, pelton_bytes *value) {
    (void)store, (void)key;
    *value = (pelton_bytes){NULL, 0};
    WITHOUT("state");
}

const char *pelton_state_set(const char *store, const char *key, pelton_bytes value) {
    (void)store, (void)key, (void)value;
    WITHOUT("state");
}

const char *pelton_state_delete(const char *store, const char *key) {
    (void)store, (void)key;
    WITHOUT("state");
}

const char *pelton_state_increment(const char *store, const char *key, int64_t by, int64_t *total) {
    (void)store, (void)key, (void)by, (void)total;
    WITHOUT("state");
}

const char *pelton_state_list(const char *store, pelton_bytes **keys, size_t *count) {
    (void)store;
    *keys = NULL;
    *count = 0;
    WITHOUT("state");
}

const char *pelton_outbox_send(const pelton_outgoing *message, pelton_bytes *id) {
    (void)message;
    if (id != NULL) *id = (pelton_bytes){NULL, 0};
    WITHOUT("outbox");
}

#endif
