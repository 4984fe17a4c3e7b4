/* JSON as the calls of a worker have it, and the calls. Not for handlers. Only what the host writes is read: it is JSON, and
 * has what it should. */
#ifndef PELTON_WORKER_JSON_H
#define PELTON_WORKER_JSON_H

#include "effects.h"
#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Who includes it needs not all of it. */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wunused-function"

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

/* Calls the host, and says whether it did it. What it answers, or the text of its error, is freed by free; `line` begins the
 * answer: for an error it is `error CODE`. */
static bool asked(const char *name, text *json, char line[PELTON_LINE], char **answer) {
    pelton_worker_write(line, (size_t)snprintf(line, PELTON_LINE, "call %s %zu\n", name, json->length));
    add_text(json, "\n");
    pelton_worker_write(json->data, json->length);
    free(json->data);
    size_t length = pelton_worker_read_line(line);
    *answer = (char *)pelton_worker_read_value(length).data;
    return strcmp(line, "result") == 0;
}

/* The same, for errors that are a text. */
static const char *call(const char *name, text *json, char **answer) {
    char line[PELTON_LINE];
    if (asked(name, json, line, answer)) return NULL;
    const char *error = pelton_failed(strncmp(line, "error ", 6) == 0 ? line + 6 : line, "%s", *answer);
    free(*answer);
    return error;
}

#pragma clang diagnostic pop

#endif
