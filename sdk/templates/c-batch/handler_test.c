#include "pelton.h"

#include <stdlib.h>
#include <string.h>

int main(void) {
    const char *bodies[] = {"{\"id\": 1, \"amount_cents\": 5}", "not JSON", "{\"id\": 3, \"amount_cents\": -5}"};
    pelton_message messages[3] = {0};
    pelton_result results[3] = {0};
    for (int i = 0; i < 3; i++) messages[i].body = (pelton_bytes){bodies[i], strlen(bodies[i])};
    pelton_handle_batch(messages, 3, results);
    int good = results[0].outcome == PELTON_OK && results[1].outcome == PELTON_REJECT &&
               results[2].outcome == PELTON_REJECT &&
               strcmp(results[2].reason, "order 3: the amount is negative") == 0;
    for (int i = 0; i < 3; i++) free(results[i].reason);
    return !good;
}
