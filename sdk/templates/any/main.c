/* Takes orders: JSON in, checked, then charged at a payment gateway. Run once for each message. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, REJECT = 65, RETRY = 75 }; /* EX_DATAERR and EX_TEMPFAIL of sysexits.h */

/* By this export the file says what it is. Where a language has no exports, `protocol = "command"` in pelton.toml does. */
__attribute__((export_name("pelton_command"))) void pelton_command(void) {}

/* The value after `"name":` in a flat object: enough for an example. Use a JSON library, such as cJSON. */
static const char *field(const char *json, const char *name) {
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"%s\"", name);
    const char *at = strstr(json, wanted);
    if (at == NULL || (at = strchr(at, ':')) == NULL) return NULL;
    return at + 1 + strspn(at + 1, " ");
}

int main(void) {
    static char order[1 << 20];
    order[fread(order, 1, sizeof order - 1, stdin)] = 0;
    const char *id = field(order, "id"), *amount = field(order, "amount_cents"), *down = field(order, "gateway_down");
    if (order[0] != '{' || id == NULL || amount == NULL) {
        fputs("not JSON, or no order\n", stderr); /* the last line is the reason */
        return REJECT;
    }
    if (atol(amount) < 0) {
        fprintf(stderr, "order %ld: the amount is negative\n", atol(id));
        return REJECT;
    }
    if (down != NULL && strncmp(down, "true", 4) == 0 && atoi(getenv("PELTON_ATTEMPT")) < 3) {
        fprintf(stderr, "order %ld: the payment gateway is down\n", atol(id));
        return RETRY;
    }
    printf("order %ld taken\n", atol(id)); /* a log line of this message */
    return OK;
}
