/* HTTP of a component: wasi:http, by the canonical ABI. See component_effects.c. */
#include "effects.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define TYPES "wasi:http/types@0.2.0"
#define HANDLER "wasi:http/outgoing-handler@0.2.0"
#define STREAMS "wasi:io/streams@0.2.0"
#define POLL "wasi:io/poll@0.2.0"
#define ERROR "wasi:io/error@0.2.0"

enum { WRITE = 4096, READ = 64 << 10 }; /* a write's most, by the standard; what is asked for at a time */

/* What errors are called, in the order of their cases. Only the last carries words: option<string>. */
static const char *const codes[] = {
    "DNS-timeout", "DNS-error", "destination-not-found", "destination-unavailable", "destination-IP-prohibited",
    "destination-IP-unroutable", "connection-refused", "connection-terminated", "connection-timeout",
    "connection-read-timeout", "connection-write-timeout", "connection-limit-reached", "TLS-protocol-error",
    "TLS-certificate-error", "TLS-alert-received", "HTTP-request-denied", "HTTP-request-length-required",
    "HTTP-request-body-size", "HTTP-request-method-invalid", "HTTP-request-URI-invalid", "HTTP-request-URI-too-long",
    "HTTP-request-header-section-size", "HTTP-request-header-size", "HTTP-request-trailer-section-size",
    "HTTP-request-trailer-size", "HTTP-response-incomplete", "HTTP-response-header-section-size",
    "HTTP-response-header-size", "HTTP-response-body-size", "HTTP-response-trailer-section-size",
    "HTTP-response-trailer-size", "HTTP-response-transfer-coding", "HTTP-response-content-coding",
    "HTTP-response-timeout", "HTTP-upgrade-failed", "HTTP-protocol-error", "loop-detected", "configuration-error",
    "internal-error",
};
enum { CODES = sizeof codes / sizeof codes[0] };
_Static_assert(CODES == 39, "all cases of error-code");

/* Room for what the largest case carries, which begins at 8 since one of them has an option<u64>. */
typedef struct {
    uint8_t which;
    union {
        uint64_t align[3];
        struct {
            uint8_t is_some;
            pelton_bytes text;
        } words;
    } of;
} error_code;

typedef struct {
    uint8_t failed;
    union {
        int32_t handle;
        error_code error;
    } of;
} handle_result; /* result<a handle, error-code> */

typedef struct {
    uint8_t failed;
    int32_t handle;
} plain_result; /* result<a handle> */

typedef struct {
    uint8_t failed;
    union {
        pelton_bytes bytes;
        struct {
            uint8_t is_closed;
            int32_t error;
        } stopped;
    } of;
} stream_result;

typedef struct {
    uint8_t is_some;
    struct {
        uint8_t failed; /* it was taken before */
        handle_result is;
    } result;
} answer_option;

typedef struct {
    uint8_t is_some;
    error_code is;
} code_option;

typedef struct {
    pelton_header *all;
    size_t count;
} entries;

_Static_assert(sizeof(error_code) == 32 && sizeof(handle_result) == 40, "errors");
_Static_assert(sizeof(answer_option) == 56 && offsetof(answer_option, result.is.of.handle) == 24, "an answer");
_Static_assert(sizeof(stream_result) == 12 && offsetof(stream_result, of.stopped.error) == 8, "a stream's result");

IMPORT(TYPES, "[static]fields.from-list") void fields_from_list(const pelton_header *all, size_t count, plain_result *result);
IMPORT(TYPES, "[method]fields.entries") void fields_entries(int32_t fields, entries *all);
IMPORT(TYPES, "[resource-drop]fields") void fields_drop(int32_t fields);
IMPORT(TYPES, "[constructor]outgoing-request") int32_t request_new(int32_t headers);
IMPORT(TYPES, "[method]outgoing-request.body") void request_body(int32_t request, plain_result *result);
IMPORT(TYPES, "[method]outgoing-request.set-method") int32_t request_method(int32_t request, int32_t which, const char *, size_t);
IMPORT(TYPES, "[method]outgoing-request.set-path-with-query") int32_t request_path(int32_t request, int32_t some, const char *, size_t);
IMPORT(TYPES, "[method]outgoing-request.set-scheme")
int32_t request_scheme(int32_t request, int32_t some, int32_t which, const char *, size_t);
IMPORT(TYPES, "[method]outgoing-request.set-authority") int32_t request_authority(int32_t request, int32_t some, const char *, size_t);
IMPORT(TYPES, "[resource-drop]outgoing-request") void request_drop(int32_t request);
IMPORT(TYPES, "[constructor]request-options") int32_t options_new(void);
IMPORT(TYPES, "[method]request-options.set-connect-timeout") int32_t options_connect(int32_t, int32_t some, uint64_t);
IMPORT(TYPES, "[method]request-options.set-first-byte-timeout") int32_t options_first_byte(int32_t, int32_t some, uint64_t);
IMPORT(TYPES, "[method]request-options.set-between-bytes-timeout") int32_t options_between_bytes(int32_t, int32_t some, uint64_t);
IMPORT(TYPES, "[method]incoming-response.status") int32_t response_status(int32_t response);
IMPORT(TYPES, "[method]incoming-response.headers") int32_t response_headers(int32_t response);
IMPORT(TYPES, "[method]incoming-response.consume") void response_consume(int32_t response, plain_result *result);
IMPORT(TYPES, "[resource-drop]incoming-response") void response_drop(int32_t response);
IMPORT(TYPES, "[method]incoming-body.stream") void body_stream(int32_t body, plain_result *result);
IMPORT(TYPES, "[resource-drop]incoming-body") void body_drop(int32_t body);
IMPORT(TYPES, "[method]outgoing-body.write") void outgoing_write(int32_t body, plain_result *result);
IMPORT(TYPES, "[static]outgoing-body.finish") void outgoing_finish(int32_t body, int32_t some, int32_t trailers, handle_result *result);
IMPORT(TYPES, "[resource-drop]outgoing-body") void outgoing_drop(int32_t body);
IMPORT(TYPES, "[method]future-incoming-response.subscribe") int32_t answer_subscribe(int32_t answer);
IMPORT(TYPES, "[method]future-incoming-response.get") void answer_get(int32_t answer, answer_option *option);
IMPORT(TYPES, "[resource-drop]future-incoming-response") void answer_drop(int32_t answer);
IMPORT(TYPES, "http-error-code") void error_code_of(int32_t error, code_option *option);
IMPORT(HANDLER, "handle") void handle(int32_t request, int32_t some, int32_t options, handle_result *result);
IMPORT(STREAMS, "[method]input-stream.blocking-read") void stream_read(int32_t stream, uint64_t length, stream_result *result);
IMPORT(STREAMS, "[resource-drop]input-stream") void input_drop(int32_t stream);
IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush")
void stream_write(int32_t stream, const char *bytes, size_t length, stream_result *result);
IMPORT(STREAMS, "[resource-drop]output-stream") void output_drop(int32_t stream);
IMPORT(POLL, "[method]pollable.block") void pollable_block(int32_t pollable);
IMPORT(POLL, "[resource-drop]pollable") void pollable_drop(int32_t pollable);
IMPORT(ERROR, "[resource-drop]error") void error_drop(int32_t error);

static const char *refused(const pelton_http_request *request, const char *why) {
    return pelton_failed("refused", "%s %.*s: %s", pelton_method(request), pelton_shown(request->url), request->url, why);
}

static const char *failed(const pelton_http_request *request, const error_code *error) {
    const char *code = error->which < CODES ? codes[error->which] : "internal-error";
    bool words = error->which == CODES - 1 && error->of.words.is_some;
    pelton_bytes text = words ? error->of.words.text : (pelton_bytes){"", 0};
    return pelton_failed(code, "%s %.*s%s%.*s", pelton_method(request), pelton_shown(request->url), request->url,
                         words ? ": " : "", (int)text.length, text.data);
}

/* The request's headers, and those that are added. */
static const char *made_headers(const pelton_http_request *request, int32_t *fields) {
    char length[24];
    bool has_length = request->body.data == NULL;
    size_t count = request->header_count;
    pelton_header *all = malloc((count + 2) * sizeof *all);
    if (all == NULL) abort();
    for (size_t i = 0; i < count; i++) {
        all[i] = request->headers[i];
        has_length |= all[i].name.length == 14 && strncasecmp(all[i].name.data, "content-length", 14) == 0;
    }
    if (!has_length) {
        snprintf(length, sizeof length, "%zu", request->body.length);
        all[count++] = (pelton_header){pelton_text("content-length"), pelton_text(length)};
    }
    if (request->message != NULL)
        all[count++] = (pelton_header){pelton_text(PELTON_MESSAGE_HEADER), request->message->idempotency_key};
    plain_result result;
    fields_from_list(all, count, &result);
    free(all);
    if (result.failed) return refused(request, "one of its headers is none, or is the host's to set");
    *fields = result.handle;
    return NULL;
}

static int32_t method_of(const char *name) {
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
    int32_t which = 0;
    while (which < 9 && strcmp(name, names[which]) != 0) which++;
    return which;
}

static const char *made_request(const pelton_http_request *request, int32_t *outgoing) {
    const char *method = pelton_method(request), *authority = strstr(request->url, "://");
    size_t length = authority == NULL ? 0 : (size_t)(authority - request->url);
    bool https = length == 5 && strncasecmp(request->url, "https", 5) == 0;
    if (!https && !(length == 4 && strncasecmp(request->url, "http", 4) == 0))
        return refused(request, "this is no http(s) URL");
    authority += 3;
    size_t host = strcspn(authority, "/?#");
    const char *path = authority + host;
    size_t path_length = strcspn(path, "#");
    char *whole = malloc(path_length + 2);
    if (whole == NULL) abort();
    whole[0] = '/';
    size_t slash = path[0] != '/';
    memcpy(whole + slash, path, path_length);
    int32_t fields;
    const char *error = made_headers(request, &fields);
    if (error == NULL) {
        *outgoing = request_new(fields);
        if (request_method(*outgoing, method_of(method), method, strlen(method)) != 0 ||
            request_scheme(*outgoing, 1, https, NULL, 0) != 0 || request_authority(*outgoing, 1, authority, host) != 0 ||
            request_path(*outgoing, 1, whole, path_length + slash) != 0) {
            request_drop(*outgoing);
            error = refused(request, "its method, host or path is none");
        }
    }
    free(whole);
    return error;
}

/* Why the server did not take all of it, the answer says. */
static void write_body(int32_t body, pelton_bytes bytes) {
    plain_result stream;
    outgoing_write(body, &stream);
    if (stream.failed) {
        outgoing_drop(body);
        return;
    }
    stream_result wrote = {0};
    for (size_t at = 0; at < bytes.length && !wrote.failed; at += WRITE) {
        size_t length = bytes.length - at < WRITE ? bytes.length - at : WRITE;
        stream_write(stream.handle, bytes.data + at, length, &wrote);
    }
    if (wrote.failed && !wrote.of.stopped.is_closed) error_drop(wrote.of.stopped.error);
    output_drop(stream.handle);
    handle_result finished;
    if (wrote.failed) outgoing_drop(body);
    else outgoing_finish(body, 0, 0, &finished);
}

static const char *sent(const pelton_http_request *request, int32_t *answer) {
    int32_t outgoing, options = 0;
    const char *error = made_request(request, &outgoing);
    if (error != NULL) return error;
    plain_result body = {.failed = 1};
    if (request->body.data != NULL) request_body(outgoing, &body);
    if (request->timeout_ms > 0) {
        uint64_t most = UINT64_MAX / 1000000, ns = (request->timeout_ms < most ? request->timeout_ms : most) * 1000000;
        options = options_new();
        options_connect(options, 1, ns);
        options_first_byte(options, 1, ns);
        options_between_bytes(options, 1, ns);
    }
    handle_result result;
    handle(outgoing, request->timeout_ms > 0, options, &result);
    if (result.failed) {
        if (!body.failed) outgoing_drop(body.handle);
        return failed(request, &result.of.error);
    }
    *answer = result.of.handle;
    if (!body.failed) write_body(body.handle, request->body);
    return NULL;
}

static const char *read_stream(const pelton_http_request *request, int32_t stream, pelton_bytes *body) {
    char *all = NULL;
    size_t length = 0;
    for (;;) {
        stream_result result;
        stream_read(stream, READ, &result);
        if (!result.failed) {
            if (result.of.bytes.length == 0) continue;
            all = realloc(all, length + result.of.bytes.length + 1);
            if (all == NULL) abort();
            memcpy(all + length, result.of.bytes.data, result.of.bytes.length);
            length += result.of.bytes.length;
            all[length] = 0;
            pelton_free(result.of.bytes);
            continue;
        }
        if (result.of.stopped.is_closed) {
            *body = length > 0 ? (pelton_bytes){all, length} : (pelton_bytes){pelton_empty, 0};
            return NULL;
        }
        code_option code;
        error_code_of(result.of.stopped.error, &code);
        error_drop(result.of.stopped.error);
        free(all);
        error_code unknown = {.which = CODES - 1};
        return failed(request, code.is_some ? &code.is : &unknown);
    }
}

static const char *read_body(const pelton_http_request *request, int32_t incoming, pelton_bytes *body) {
    plain_result content, stream;
    response_consume(incoming, &content);
    if (content.failed) return refused(request, "the answer was taken already");
    body_stream(content.handle, &stream);
    const char *error = stream.failed ? refused(request, "the answer was taken already") : NULL;
    if (error == NULL) {
        error = read_stream(request, stream.handle, body);
        input_drop(stream.handle);
    }
    body_drop(content.handle);
    return error;
}

const char *pelton_http_send(const pelton_http_request *request, pelton_http_response *response) {
    int32_t answer;
    memset(response, 0, sizeof *response);
    const char *error = sent(request, &answer);
    if (error != NULL) return error;
    int32_t ready = answer_subscribe(answer);
    pollable_block(ready);
    pollable_drop(ready);
    answer_option got;
    answer_get(answer, &got);
    answer_drop(answer);
    if (!got.is_some || got.result.failed) return refused(request, "the answer was taken already");
    if (got.result.is.failed) return failed(request, &got.result.is.of.error);
    int32_t incoming = got.result.is.of.handle, fields = response_headers(incoming);
    entries given;
    response->status = response_status(incoming);
    fields_entries(fields, &given);
    fields_drop(fields);
    response->headers = given.all;
    response->header_count = given.count;
    for (size_t i = 0; i < given.count; i++) {
        if (given.all[i].name.length == 0) given.all[i].name.data = pelton_empty;
        if (given.all[i].value.length == 0) given.all[i].value.data = pelton_empty;
    }
    error = read_body(request, incoming, &response->body);
    response_drop(incoming);
    if (error != NULL) pelton_http_free(response);
    return error;
}
