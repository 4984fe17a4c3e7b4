/* Requests of a batch, each for its message, as the test of batches wants it. */
#include "pelton.h"

#include <stdio.h>
#include <string.h>

static pelton_result sent(const pelton_message *message) {
    const char *order = message->body.data, *from = strstr(order, "\"url\":\"");
    if (from == NULL) return pelton_reject("no URL");
    from += strlen("\"url\":\"");
    char url[256];
    snprintf(url, sizeof url, "%.*s", (int)strcspn(from, "\""), from);
    bool named = strstr(order, "\"named\":true") != NULL;
    pelton_http_request request = {.url = url, .body = message->body, .message = named ? message : NULL};
    pelton_http_response answer;
    const char *error = pelton_http_send(&request, &answer);
    if (error != NULL) return pelton_retry(0, "%s", error);
    int status = answer.status;
    pelton_http_free(&answer);
    return status == 200 ? pelton_ok() : pelton_retry(0, "%d", status);
}

void pelton_handle_batch(const pelton_message *messages, size_t count, pelton_result *results) {
    fprintf(stderr, "a call of %zu\n", count);
    for (size_t i = 0; i < count; i++) results[i] = sent(&messages[i]);
}
