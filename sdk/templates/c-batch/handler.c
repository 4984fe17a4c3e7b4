/* Stores orders, many at a time: one write for all of them, instead of one for each. */
#include "pelton.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The value after `"name":` in a flat object: enough for an example. Use a JSON library, such as cJSON. */
static const char *field(const char *json, const char *name) {
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"%s\"", name);
    const char *at = strstr(json, wanted);
    if (at == NULL || (at = strchr(at, ':')) == NULL) return NULL;
    return at + 1 + strspn(at + 1, " ");
}

static pelton_result check(const pelton_message *message) {
    const char *order = message->body.data;
    const char *id = field(order, "id"), *amount = field(order, "amount_cents");
    if (order[0] != '{' || id == NULL || amount == NULL) return pelton_reject("not JSON, or no order");
    if (atol(amount) < 0) return pelton_reject("order %ld: the amount is negative", atol(id));
    return pelton_ok();
}

/* Stands in for a bulk insert. */
static void store(size_t count) { fprintf(stderr, "stored %zu orders\n", count); }

void pelton_handle_batch(const pelton_message *messages, size_t count, pelton_result *results) {
    size_t good = 0;
    for (size_t i = 0; i < count; i++) {
        results[i] = check(&messages[i]); /* this message alone */
        good += results[i].outcome == PELTON_OK;
    }
    store(good);
}
