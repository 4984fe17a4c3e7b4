/* Effects of a worker: calls of the host, in JSON, before the answer. Pelton's docs/handlers/plain-programs.md describes
 * the bytes. Only what the host writes is read: it is JSON, and has what it should. */
#include "effects.h"

#ifdef PELTON_USES
#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- writing ---- */

typedef struct {
    char *data;
    size_t length, room;
} text;

static void add(text *to, const char *bytes, size_t length) {
    if (to->length + length > to->room) {
        to->room = (to->length + length) * 2 + 256;
        to->data = realloc(to->data, to->room);
        if (to->data == NULL) abort();
    }
    if (length > 0) memcpy(to->data + to->length, bytes, length);
    to->length += length;
}

static void add_text(text *to, const char *plain) { add(to, plain, strlen(plain)); }

static void add_number(text *to, long long number) {
    char digits[24];
    add(to, digits, (size_t)snprintf(digits, sizeof digits, "%lld", number));
}

/* A string; null where there is none. What is no ASCII is UTF-8 already, as the SDK's texts are. */
static void add_string(text *to, pelton_bytes plain) {
    if (plain.data == NULL) {
        add_text(to, "null");
        return;
    }
    add_text(to, "\"");
    for (size_t i = 0; i < plain.length; i++) {
        unsigned char one = (unsigned char)plain.data[i];
        char escaped[8];
        if (one == '"' || one == '\\' || one < 0x20)
            add(to, escaped, (size_t)snprintf(escaped, sizeof escaped, "\\u%04x", one));
        else add(to, plain.data + i, 1);
    }
    add_text(to, "\"");
}

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Bytes in base 64; null where there are none. */
static void add_bytes(text *to, pelton_bytes bytes) {
    if (bytes.data == NULL) {
        add_text(to, "null");
        return;
    }
    add_text(to, "\"");
    for (size_t i = 0; i < bytes.length; i += 3) {
        size_t left = bytes.length - i;
        unsigned three = (unsigned)(unsigned char)bytes.data[i] << 16;
        if (left > 1) three |= (unsigned)(unsigned char)bytes.data[i + 1] << 8;
        if (left > 2) three |= (unsigned char)bytes.data[i + 2];
        char four[4] = {digits[three >> 18], digits[three >> 12 & 63], left > 1 ? digits[three >> 6 & 63] : '=',
                        left > 2 ? digits[three & 63] : '='};
        add(to, four, 4);
    }
    add_text(to, "\"");
}

/* ---- reading ---- */

static const char *past_space(const char *at) { return at + strspn(at, " \t\r\n"); }

static const char *past_string(const char *at) {
    for (at++; *at != 0 && *at != '"'; at++)
        if (*at == '\\' && at[1] != 0) at++;
    return *at == 0 ? at : at + 1;
}

/* What is behind a value. */
static const char *past(const char *at) {
    int depth = 0;
    do {
        at = past_space(at);
        if (*at == '"') at = past_string(at);
        else if (*at == '{' || *at == '[') depth++, at++;
        else if (*at == '}' || *at == ']') depth--, at++;
        else if (*at == ',' || *at == ':') at++;
        else at += strcspn(at, ",:{}[]\" \t\r\n");
    } while (depth > 0 && *at != 0);
    return at;
}

/* The first value of a list, or null; and the one after a value. */
static const char *first(const char *list) {
    const char *at = past_space(past_space(list) + 1);
    return *at == ']' || *at == 0 ? NULL : at;
}

static const char *next(const char *value) {
    const char *at = past_space(past(value));
    return *at == ',' ? past_space(at + 1) : NULL;
}

/* The value of an object's member; `null` where there is none. */
static const char *member(const char *object, const char *name) {
    const char *at = past_space(past_space(object) + 1);
    size_t length = strlen(name);
    while (*at == '"') {
        bool found = strncmp(at + 1, name, length) == 0 && at[1 + length] == '"';
        const char *value = past_space(past_space(past_string(at)) + 1);
        if (found) return value;
        at = past_space(past(value));
        if (*at == ',') at = past_space(at + 1);
    }
    return "null";
}

static void add_utf8(text *to, unsigned one) {
    char bytes[4];
    size_t length = one < 0x80 ? 1 : one < 0x800 ? 2 : one < 0x10000 ? 3 : 4;
    static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = length; i-- > 1; one >>= 6) bytes[i] = (char)(0x80 | (one & 63));
    bytes[0] = (char)(leads[length] | one);
    add(to, bytes, length);
}

static unsigned four_digits(const char *at) {
    char hex[5] = {0};
    strncpy(hex, at, 4);
    return (unsigned)strtoul(hex, NULL, 16);
}

/* What an escape stands for; `at` is left on its last letter. */
static unsigned escape(const char **at) {
    static const char letters[] = "bfnrt", stand[] = "\b\f\n\r\t";
    char letter = **at;
    if (letter != 'u') {
        const char *found = strchr(letters, letter);
        return found != NULL ? (unsigned char)stand[found - letters] : (unsigned char)letter;
    }
    unsigned one = four_digits(*at + 1);
    *at += 4;
    if (one >= 0xd800 && one < 0xdc00 && (*at)[1] == '\\' && (*at)[2] == 'u') {
        one = 0x10000 + ((one - 0xd800) << 10) + (four_digits(*at + 3) - 0xdc00);
        *at += 6;
    }
    return one;
}

/* With a zero behind it. An empty one takes no memory. */
static pelton_bytes finished(text *whole) {
    pelton_bytes bytes = {whole->length > 0 ? whole->data : pelton_empty, whole->length};
    if (whole->length > 0) add(whole, "", 1), bytes.data = whole->data;
    return bytes;
}

static pelton_bytes read_string(const char *at) {
    if (*at != '"') return (pelton_bytes){NULL, 0};
    text whole = {0};
    for (at++; *at != 0 && *at != '"'; at++) {
        if (*at != '\\') {
            add(&whole, at, 1);
            continue;
        }
        at++;
        add_utf8(&whole, escape(&at));
    }
    return finished(&whole);
}

static pelton_bytes read_bytes(const char *at) {
    if (*at != '"') return (pelton_bytes){NULL, 0};
    text whole = {0};
    unsigned held = 0, bits = 0;
    for (at++; *at != 0 && *at != '"'; at++) {
        const char *digit = strchr(digits, *at);
        if (digit == NULL) continue; /* `=`, and an escaped slash */
        held = held << 6 | (unsigned)(digit - digits);
        bits += 6;
        if (bits < 8) continue;
        bits -= 8;
        char byte = (char)(held >> bits);
        add(&whole, &byte, 1);
    }
    return finished(&whole);
}

/* ---- calls ---- */

/* Calls the host. What it answers is freed by free. */
static const char *call(const char *name, text *json, char **answer) {
    char line[PELTON_LINE];
    pelton_worker_write(line, (size_t)snprintf(line, sizeof line, "call %s %zu\n", name, json->length));
    add_text(json, "\n");
    pelton_worker_write(json->data, json->length);
    free(json->data);
    size_t length = pelton_worker_read_line(line);
    pelton_bytes value = pelton_worker_read_value(length);
    if (strcmp(line, "result") == 0) {
        *answer = (char *)value.data;
        return NULL;
    }
    const char *error = pelton_failed(strncmp(line, "error ", 6) == 0 ? line + 6 : line, "%s", value.data);
    free((void *)value.data);
    return error;
}

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
