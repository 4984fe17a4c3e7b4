/* Does what the header `do` of its messages says, good or bad. */
#include "pelton.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static volatile int sink;

static int deep(int n) {
    volatile int here = n;
    return sink == -1 ? 0 : deep(n + 1) + here;
}

static void take_memory(void) {
    for (;;) {
        char *more = malloc(1 << 20);
        if (more == NULL) abort();
        memset(more, 1, 1 << 20);
        sink += *(volatile char *)(more + sink % 1000); /* so that it is not optimised away */
    }
}

static void echo(const pelton_message *m) {
    for (size_t i = 0; i < m->header_count; i++)
        fprintf(stderr, "header %s=%s\n", m->headers[i].name.data, m->headers[i].value.data);
    uint64_t rest = 0;
    for (size_t i = 0; i < m->body.length; i++) rest = (rest * 256 + (unsigned char)m->body.data[i]) % 4294967291u;
    const char *quote = m->key.data ? "\"" : "";
    assert(m->body.data[m->body.length] == 0);
    fprintf(stderr, "id %s, key %s%s%s, attempt %u, body %zu %llu\n", m->id.data, quote, m->key.data ? m->key.data : "none",
            quote, m->attempt, m->body.length, (unsigned long long)rest);
}

pelton_result pelton_handle(const pelton_message *m) {
    pelton_bytes header = pelton_find_header(m, "do");
    const char *what = header.data ? header.data : "";
    if (strcmp(what, "retry") == 0) return pelton_retry(250, "asked to retry at attempt %u", m->attempt);
    if (strcmp(what, "reject") == 0) return pelton_reject("asked to reject");
    if (strcmp(what, "no-text") == 0) return pelton_reject("asked to reject \xff\xc3 \xc3\xbc \xed\xa0\x80");
    if (strcmp(what, "uncaught") == 0) assert(!"chaos says goodbye");
    if (strcmp(what, "beyond") == 0) sink = *(volatile int *)(uintptr_t)0xfffffff0u;
    if (strcmp(what, "exit") == 0) exit(3);
    if (strcmp(what, "loop") == 0) for (;;) sink++;
    if (strcmp(what, "sleep") == 0) nanosleep(&(struct timespec){3600, 0}, NULL);
    if (strcmp(what, "memory") == 0) take_memory();
    if (strcmp(what, "deep") == 0) sink = deep(1);
    if (strcmp(what, "flood") == 0)
        for (int i = 0; i < 2000; i++) fprintf(stderr, "flood flood flood flood flood flood flood flood flood flood\n");
    if (strcmp(what, "print") == 0) fprintf(stderr, "printed\n");
    if (strcmp(what, "stdout") == 0) printf("left in a buffer");
    if (strcmp(what, "files") == 0)
        fprintf(stderr, "denied: %s\n", fopen("/etc/passwd", "r") == NULL && getenv("HOME") == NULL ? "true" : "false");
    if (strcmp(what, "echo") == 0) echo(m);
    return pelton_ok();
}
