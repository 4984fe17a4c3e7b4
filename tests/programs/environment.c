/* A command that says what it is given of its configuration, which is all in the environment. */
#include <stdio.h>
#include <stdlib.h>

static void say(const char *name) {
    const char *value = getenv(name);
    fprintf(stderr, "%s=%s\n", name, value == NULL ? "none" : value);
}

int main(void) {
    say("PELTON_CONFIG_REGION");
    say("PELTON_CONFIG_API_KEY");
    say("PELTON_CONFIG_OTHER");
    say("TZ");
    say("HOME");
    return 0;
}
