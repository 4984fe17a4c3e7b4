/* What worker.c has for worker_effects.c. Not for handlers. */
#ifndef PELTON_WORKER_H
#define PELTON_WORKER_H

#include "pelton.h"

enum { PELTON_LINE = 128 }; /* the longest line, with its end */

void pelton_worker_write(const char *bytes, size_t length);

/* Reads `NAME NUMBER`; the number. */
size_t pelton_worker_read_line(char name[PELTON_LINE]);

/* Reads so many bytes and the line feed behind them, with a zero in its place. It is freed by free. */
pelton_bytes pelton_worker_read_value(size_t length);

#endif
