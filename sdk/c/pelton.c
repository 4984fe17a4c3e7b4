/* Results, what a handler asks of its message, and the parts of effects that need no host. */
#include "effects.h"

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

const char *pelton_failed(const char *code, const char *words, ...) {
    static char said[1024];
    va_list args;
    va_start(args, words);
    int length = snprintf(said, sizeof said, "%.40s: ", code);
    vsnprintf(said + length, sizeof said - (size_t)length, words, args);
    va_end(args);
    return said;
}

void pelton_free(pelton_bytes bytes) {
    if (bytes.length > 0) free((void *)bytes.data); /* an empty value takes no memory */
}

void pelton_http_free(pelton_http_response *response) {
    for (size_t i = 0; i < response->header_count; i++) {
        pelton_free(response->headers[i].name);
        pelton_free(response->headers[i].value);
    }
    if (response->header_count > 0) free(response->headers);
    pelton_free(response->body);
    memset(response, 0, sizeof *response);
}

static char sql_constraint[128], sql_detail[512];

static void keep(char *to, size_t room, pelton_bytes text) {
    size_t length = text.data == NULL ? 0 : text.length < room ? text.length : room - 1;
    if (length > 0) memcpy(to, text.data, length);
    to[length] = 0;
}

void pelton_sql_said(pelton_bytes constraint, pelton_bytes detail) {
    keep(sql_constraint, sizeof sql_constraint, constraint);
    keep(sql_detail, sizeof sql_detail, detail);
}

const char *pelton_sql_constraint(void) { return sql_constraint[0] == 0 ? NULL : sql_constraint; }

const char *pelton_sql_detail(void) { return sql_detail[0] == 0 ? NULL : sql_detail; }

const pelton_sql_value *pelton_sql_at(const pelton_sql_rows *rows, size_t row, const char *column) {
    size_t length = strlen(column);
    for (size_t i = 0; row < rows->row_count && i < rows->column_count; i++) {
        pelton_bytes name = rows->columns[i].name;
        if (name.length == length && memcmp(name.data, column, length) == 0)
            return &rows->values[row * rows->column_count + i];
    }
    return NULL;
}

void pelton_sql_free(pelton_sql_rows *rows) {
    for (size_t i = 0; i < rows->column_count; i++) {
        pelton_free(rows->columns[i].name);
        pelton_free(rows->columns[i].type_name);
    }
    for (size_t i = 0; i < rows->row_count * rows->column_count; i++)
        if (rows->values[i].is >= PELTON_SQL_TEXT) pelton_free(rows->values[i].of.bytes);
    free(rows->columns);
    free(rows->values);
    memset(rows, 0, sizeof *rows);
}
