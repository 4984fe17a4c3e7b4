/* Every effect, as the test of effects wants it. What goes wrong ends the message, and with it all that is not freed. */
#include "pelton.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DONE(call)                                        \
    do {                                                  \
        const char *error = call;                         \
        if (error != NULL) return pelton_retry(0, "%s", error); \
    } while (0)

static const char *field(const char *json, const char *name) {
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"%s\"", name);
    const char *at = strstr(json, wanted);
    if (at == NULL || (at = strchr(at, ':')) == NULL) return NULL;
    return at + 1 + strspn(at + 1, " ");
}

static int by_text(const void *a, const void *b) {
    return strcmp(((const pelton_bytes *)a)->data, ((const pelton_bytes *)b)->data);
}

static pelton_result charge(const char *order, const pelton_message *message, pelton_http_response *answer) {
    pelton_bytes gateway;
    char url[512], id[24];
    const char *path = field(order, "path") + 1;
    DONE(pelton_config_get("gateway", &gateway));
    snprintf(url, sizeof url, "%s%.*s", gateway.data, (int)strcspn(path, "\""), path);
    pelton_free(gateway);
    snprintf(id, sizeof id, "%ld", atol(field(order, "id")));
    pelton_header headers[] = {{pelton_text("x-order"), pelton_text(id)},
                               {pelton_text("content-type"), pelton_text("application/json")}};
    pelton_http_request request = {.url = url, .headers = headers, .header_count = 2, .body = message->body,
                                   .timeout_ms = 2000, .message = message};
    const char *error = pelton_http_send(&request, answer);
    if (error != NULL) return pelton_reject("%s", error);
    if (answer->status / 100 != 2) return pelton_retry(0, "%d: %s", answer->status, answer->body.data);
    return pelton_ok();
}

static pelton_result keep(const char *order, const pelton_http_response *answer) {
    pelton_bytes *keys, all;
    size_t count;
    int64_t number;
    bool was_set;
    char text[24];
    snprintf(text, sizeof text, "%ld", atol(field(order, "id")));
    DONE(pelton_state_increment(NULL, "count", 1, &number));
    DONE(pelton_state_compare_and_set(NULL, "first", (pelton_bytes){NULL, 0}, pelton_text(text), &was_set));
    if (was_set) fprintf(stderr, "the first\n");
    DONE(pelton_state_delete(NULL, "gone"));
    DONE(pelton_state_get("totals", "all", &all));
    snprintf(text, sizeof text, "%ld", (all.data ? atol(all.data) : 0) + atol(field(order, "cents")));
    pelton_free(all);
    DONE(pelton_state_set("totals", "all", pelton_text(text)));
    DONE(pelton_state_list(NULL, &keys, &count));
    qsort(keys, count, sizeof *keys, by_text);
    fprintf(stderr, "%d %zu %lld ", answer->status, answer->body.length, (long long)number);
    for (size_t i = 0; i < count; i++) {
        fprintf(stderr, i > 0 ? ",%s" : "%s", keys[i].data);
        pelton_free(keys[i]);
    }
    fprintf(stderr, "\n");
    free(keys);
    return pelton_ok();
}

pelton_result pelton_handle(const pelton_message *message) {
    const char *order = message->body.data, *receipt = field(order, "receipt");
    if (receipt != NULL) {
        fprintf(stderr, "receipt %ld of %s, %s\n", atol(receipt), message->key.data,
                pelton_find_header(message, "kind").data);
        return pelton_ok();
    }
    pelton_http_response answer;
    pelton_result result = charge(order, message, &answer);
    if (result.outcome == PELTON_OK) result = keep(order, &answer);
    pelton_http_free(&answer);
    if (result.outcome != PELTON_OK) return result;
    char body[64];
    snprintf(body, sizeof body, "{\"receipt\":%ld}", atol(field(order, "id")));
    pelton_header kind = {pelton_text("kind"), pelton_text("r")};
    pelton_bytes id;
    pelton_outgoing out = {.target = "receipts", .key = pelton_text("k"), .headers = &kind, .header_count = 1,
                           .body = pelton_text(body), .delay_ms = 1};
    DONE(pelton_outbox_send(&out, &id));
    pelton_free(id);
    pelton_outgoing nowhere = {.target = "nowhere", .body = pelton_text("")};
    if (field(order, "nowhere") != NULL) DONE(pelton_outbox_send(&nowhere, NULL));
    return pelton_ok();
}
