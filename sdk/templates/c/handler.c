/* Takes orders: JSON in, checked, then charged at a payment gateway. */
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

/* Stands in for pelton_http_send. Pelton adds an idempotency key to it, so that no charge is taken twice; fake.h answers
 * it in tests. */
static bool charge(const char *order, const pelton_message *message) {
    const char *down = field(order, "gateway_down");
    return down == NULL || strncmp(down, "true", 4) != 0 || message->attempt >= 3;
}

pelton_result pelton_handle(const pelton_message *message) {
    const char *order = message->body.data;
    const char *id = field(order, "id"), *amount = field(order, "amount_cents");
    if (order[0] != '{' || id == NULL || amount == NULL)
        return pelton_reject("not JSON, or no order"); /* a dead letter */
    if (atol(amount) < 0)
        return pelton_reject("order %ld: the amount is negative", atol(id));
    if (!charge(order, message))
        return pelton_retry(50, "order %ld: the payment gateway is down", atol(id));
    fprintf(stderr, "order %ld taken\n", atol(id)); /* a log line of this message */
    return pelton_ok();
}
