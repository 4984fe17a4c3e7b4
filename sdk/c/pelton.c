/* Results, and what a handler asks of its message. */
#include "pelton.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pelton_result failed(int outcome, uint64_t after_ms, const char *reason, va_list args) {
    pelton_result result = {outcome, NULL, after_ms};
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, reason, again);
    va_end(again);
    if (length >= 0 && (result.reason = malloc((size_t)length + 1)) != NULL)
        vsnprintf(result.reason, (size_t)length + 1, reason, args);
    return result;
}

pelton_result pelton_retry(uint64_t after_ms, const char *reason, ...) {
    va_list args;
    va_start(args, reason);
    pelton_result result = failed(PELTON_RETRY, after_ms, reason, args);
    va_end(args);
    return result;
}

pelton_result pelton_reject(const char *reason, ...) {
    va_list args;
    va_start(args, reason);
    pelton_result result = failed(PELTON_REJECT, 0, reason, args);
    va_end(args);
    return result;
}

pelton_bytes pelton_find_header(const pelton_message *message, const char *name) {
    size_t length = strlen(name);
    for (size_t i = 0; i < message->header_count; i++) {
        pelton_bytes found = message->headers[i].name;
        if (found.length == length && memcmp(found.data, name, length) == 0)
            return message->headers[i].value;
    }
    return (pelton_bytes){NULL, 0};
}
