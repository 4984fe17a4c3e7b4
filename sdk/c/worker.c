/* The handler as a worker: messages come over standard input, answers go to standard output. Pelton's
 * docs/handlers/plain-programs.md describes the bytes. */
#include "pelton.h"
#include "worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* By this export the file says what it is, so that no configuration need say it: with effects it speaks version 2. */
#ifdef PELTON_USES
#define VERSION "_2"
#else
#define VERSION ""
#endif
#ifdef PELTON_BATCH
__attribute__((export_name("pelton_worker_batch" VERSION)))
#else
__attribute__((export_name("pelton_worker" VERSION)))
#endif
void pelton_mark(void) {}

enum {
    PIECE = 1 << 20,    /* what one read asks for at most: the host copies a read as a whole */
    REASON = 60 << 10,  /* what a reason may have; a longer one is cut */
};

/* Ends the worker; what it says is the reason of the failure. */
static _Noreturn void broken(const char *why, const char *what) {
    fprintf(stderr, "%s: `%s`\n", why, what);
    exit(70);
}

static void *allocate(size_t size) {
    void *memory = malloc(size ? size : 1);
    if (memory == NULL) {
        fprintf(stderr, "there is no memory for %zu bytes\n", size);
        abort();
    }
    return memory;
}

static char input[64 << 10];
static size_t input_at, input_end;

/* Reads some bytes; at the end of the input it ends the worker. */
static void fill(void) {
    ssize_t got = read(STDIN_FILENO, input, sizeof input);
    if (got < 0) broken("standard input cannot be read", strerror(errno));
    if (got == 0) exit(0);
    input_at = 0;
    input_end = (size_t)got;
}

static void read_bytes(char *to, size_t length) {
    while (length > 0) {
        if (input_at == input_end && length >= sizeof input) {
            ssize_t got = read(STDIN_FILENO, to, length < PIECE ? length : PIECE);
            if (got <= 0) broken("the request was cut off", got < 0 ? strerror(errno) : "end of input");
            to += got;
            length -= (size_t)got;
            continue;
        }
        if (input_at == input_end) fill();
        size_t part = input_end - input_at < length ? input_end - input_at : length;
        memcpy(to, input + input_at, part);
        input_at += part;
        to += part;
        length -= part;
    }
}

size_t pelton_worker_read_line(char name[PELTON_LINE]) {
    size_t length = 0;
    for (;;) {
        if (length == PELTON_LINE) broken("this is no line of the worker protocol", name);
        read_bytes(name + length, 1);
        if (name[length] == '\n') break;
        length++;
    }
    name[length] = 0;
    char *space = strrchr(name, ' '), *end = NULL;
    size_t number = space ? strtoull(space + 1, &end, 10) : 0;
    if (space == NULL || end == space + 1 || *end != 0)
        broken("this is no line of the worker protocol: is the handler run as a worker?", name);
    *space = 0;
    return number;
}

pelton_bytes pelton_worker_read_value(size_t length) {
    char *data = allocate(length + 1);
    char end;
    read_bytes(data, length);
    read_bytes(&end, 1);
    data[length] = 0;
    return (pelton_bytes){data, length};
}

static void add_header(pelton_message *message, pelton_bytes name) {
    size_t count = message->header_count++;
    pelton_header *headers = realloc((void *)message->headers, message->header_count * sizeof *headers);
    if (headers == NULL) abort();
    headers[count] = (pelton_header){name, {NULL, 0}}; /* its value is the next field */
    message->headers = headers;
}

static uint64_t take_number(pelton_bytes value) {
    uint64_t number = strtoull(value.data, NULL, 10);
    free((void *)value.data);
    return number;
}

/* Takes a field; false when it is the body, which is the last. */
static bool take_field(pelton_message *message, const char *name, pelton_bytes value) {
    if (strcmp(name, "body") == 0) return message->body = value, false;
    if (strcmp(name, "id") == 0) message->id = value;
    else if (strcmp(name, "pipeline") == 0) message->pipeline = value;
    else if (strcmp(name, "origin") == 0) message->origin = value;
    else if (strcmp(name, "idempotency-key") == 0) message->idempotency_key = value;
    else if (strcmp(name, "key") == 0) message->key = value;
    else if (strcmp(name, "attempt") == 0) message->attempt = (uint32_t)take_number(value);
    else if (strcmp(name, "published-at-ms") == 0) {
        message->has_published_at = true;
        message->published_at_ms = take_number(value);
    } else if (strcmp(name, "header-name") == 0) add_header(message, value);
    else if (strcmp(name, "header-value") == 0 && message->header_count > 0)
        ((pelton_header *)message->headers)[message->header_count - 1].value = value;
    else {
        message->replayed |= strcmp(name, "replayed") == 0;
        message->tombstone |= strcmp(name, "tombstone") == 0;
        free((void *)value.data); /* a flag, or a field of a later version */
    }
    return true;
}

static void read_message(pelton_message *message) {
    char name[PELTON_LINE];
    bool more = true;
    memset(message, 0, sizeof *message);
    while (more) {
        size_t length = pelton_worker_read_line(name);
        more = take_field(message, name, pelton_worker_read_value(length));
    }
}

static void free_message(pelton_message *message) {
    const pelton_bytes all[] = {message->id, message->pipeline, message->origin, message->idempotency_key,
                                message->key, message->body};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free((void *)all[i].data);
    for (size_t i = 0; i < message->header_count; i++) {
        free((void *)message->headers[i].name.data);
        free((void *)message->headers[i].value.data);
    }
    free((void *)message->headers);
}

void pelton_worker_write(const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t wrote = write(STDOUT_FILENO, bytes, length);
        if (wrote <= 0) broken("the answer cannot be written", strerror(errno));
        bytes += wrote;
        length -= (size_t)wrote;
    }
}

static void answer(pelton_result *result) {
    if (result->outcome == PELTON_OK) {
        pelton_worker_write("ok\n", 3);
    } else {
        const char *reason = result->reason ? result->reason : "";
        size_t length = strlen(reason);
        if (length > REASON) length = REASON;
        char line[PELTON_LINE];
        int size;
        if (result->outcome == PELTON_REJECT) size = snprintf(line, sizeof line, "reject %zu\n", length);
        else if (result->after_ms == 0) size = snprintf(line, sizeof line, "retry %zu\n", length);
        else size = snprintf(line, sizeof line, "retry %zu %llu\n", length, (unsigned long long)result->after_ms);
        pelton_worker_write(line, (size_t)size);
        pelton_worker_write(reason, length);
        pelton_worker_write("\n", 1);
    }
    free(result->reason);
}

int main(void) {
    char line[PELTON_LINE];
    for (;;) {
        size_t count = pelton_worker_read_line(line);
        bool known = strcmp(line, "pelton 1") == 0 || strcmp(line, "pelton 2") == 0;
        if (!known || count == 0) broken("this is no request of the worker protocol, version 1 or 2", line);
        pelton_message *messages = allocate(count * sizeof *messages);
        pelton_result *results = allocate(count * sizeof *results);
        memset(results, 0, count * sizeof *results);
        for (size_t i = 0; i < count; i++) read_message(&messages[i]);
#ifdef PELTON_BATCH
        pelton_handle_batch(messages, count, results);
#else
        for (size_t i = 0; i < count; i++) results[i] = pelton_handle(&messages[i]);
#endif
        fflush(stderr);
        for (size_t i = 0; i < count; i++) {
            answer(&results[i]);
            free_message(&messages[i]);
        }
        free(results);
        free(messages);
    }
}
