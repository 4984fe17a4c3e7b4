/* A command in C: run once for each message. The body is standard input, the rest is in the environment, and the exit
 * code is the answer. Build it with a clang for WebAssembly:
 *
 *     $WASI_SDK_PATH/bin/clang --target=wasm32-wasip1 -O2 command.c -o command.wasm
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, REJECT = 65, RETRY = 75 }; /* EX_DATAERR and EX_TEMPFAIL of sysexits.h */

int main(void) {
    static char body[1 << 20];
    size_t length = fread(body, 1, sizeof body - 1, stdin);
    if (length == 0 || body[0] != '{') {
        fputs("not JSON\n", stderr); /* the last line is the reason */
        return REJECT;
    }
    if (strstr(body, "\"gateway_down\"") && atoi(getenv("PELTON_ATTEMPT")) < 3) {
        fputs("the payment gateway is down\n", stderr);
        return RETRY;
    }
    printf("order %s taken\n", getenv("PELTON_MESSAGE_ID"));
    return OK;
}
