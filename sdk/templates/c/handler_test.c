#include "pelton.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

static void expect(const char *body, uint32_t attempt, int outcome, const char *reason) {
    pelton_message message = {.body = {body, strlen(body)}, .attempt = attempt};
    pelton_result result = pelton_handle(&message);
    const char *got = result.reason ? result.reason : "";
    if ((int)result.outcome != outcome || strcmp(got, reason) != 0) {
        fprintf(stderr, "%s: got %d `%s`, want %d `%s`\n", body, result.outcome, got, outcome, reason);
        failures++;
    }
    free(result.reason);
}

int main(void) {
    expect("{\"id\": 7, \"amount_cents\": 1250}", 1, PELTON_OK, "");
    expect("{\"id\": 7, \"amount_cents\": -1}", 1, PELTON_REJECT, "order 7: the amount is negative");
    expect("not JSON", 1, PELTON_REJECT, "not JSON, or no order");
    expect("{\"id\": 8, \"amount_cents\": 1, \"gateway_down\": true}", 1, PELTON_RETRY,
           "order 8: the payment gateway is down");
    expect("{\"id\": 8, \"amount_cents\": 1, \"gateway_down\": true}", 3, PELTON_OK, "");
    return failures != 0;
}
