/* SQL of a worker. See worker_effects.c. */
#include "effects.h"

#ifdef PELTON_USES
#include "worker_json.h"

/* A number's form is kept: what is written as a float is one, whatever its value. */
static void add_float(text *to, double number) {
    char digits[40];
    bool is_number = number - number == 0;
    const char *form = is_number ? "{\"float\":%.17g}" : number != number ? "{\"float\":\"NaN\"}" : NULL;
    if (form == NULL) form = number > 0 ? "{\"float\":\"Infinity\"}" : "{\"float\":\"-Infinity\"}";
    if (is_number) add(to, digits, (size_t)snprintf(digits, sizeof digits, form, number));
    else add_text(to, form);
}

static void add_value(text *to, const pelton_sql_value *value) {
    pelton_bytes bytes = value->of.bytes;
    if (value->is >= PELTON_SQL_TEXT && bytes.data == NULL) bytes = (pelton_bytes){pelton_empty, 0};
    switch (value->is) {
    case PELTON_SQL_BOOLEAN: add_text(to, value->of.boolean ? "true" : "false"); break;
    case PELTON_SQL_INTEGER: add_number(to, value->of.integer); break;
    case PELTON_SQL_FLOAT: add_float(to, value->of.number); break;
    case PELTON_SQL_TEXT: add_string(to, bytes); break;
    case PELTON_SQL_BYTES:
        add_text(to, "{\"bytes\":");
        add_bytes(to, bytes);
        add_text(to, "}");
        break;
    default: add_text(to, "null");
    }
}

static pelton_sql_value read_number(const char *at) {
    if (strcspn(at, ".eE") < strcspn(at, ",]} \t\r\n")) return pelton_sql_float(strtod(at, NULL));
    return pelton_sql_integer(strtoll(at, NULL, 10));
}

static pelton_sql_value read_value(const char *at) {
    pelton_sql_value value = pelton_sql_null();
    if (*at == 'n') return value;
    if (*at == 't' || *at == 'f') return pelton_sql_boolean(*at == 't');
    if (*at == '"') {
        value.is = PELTON_SQL_TEXT;
        value.of.bytes = read_string(at);
        return value;
    }
    if (*at != '{') return read_number(at);
    const char *bytes = member(at, "bytes"), *number = member(at, "float"), *whole = member(at, "integer");
    if (*bytes == '"') return pelton_sql_bytes(read_bytes(bytes));
    if (*whole != 'n') return pelton_sql_integer(strtoll(whole + (*whole == '"'), NULL, 10));
    return pelton_sql_float(strtod(number + (*number == '"'), NULL));
}

/* The parts of an error of the database. */
static const char *said(const char *json) {
    pelton_bytes code = read_string(member(json, "code")), message = read_string(member(json, "message"));
    pelton_bytes detail = read_string(member(json, "detail")), constraint = read_string(member(json, "constraint"));
    const char *words = pelton_failed(code.data ? code.data : "database", "%s", message.data ? message.data : "");
    pelton_sql_said(constraint, detail);
    pelton_free(code), pelton_free(message), pelton_free(detail), pelton_free(constraint);
    return words;
}

static const char *run(const char *name, const char *database, const char *statement, const pelton_sql_value *parameters,
                       size_t count, char **answer) {
    text json = {0};
    pelton_sql_said((pelton_bytes){NULL, 0}, (pelton_bytes){NULL, 0});
    add_text(&json, "{\"database\":");
    add_string(&json, pelton_text(database));
    add_text(&json, ",\"statement\":");
    add_string(&json, pelton_text(statement));
    add_text(&json, ",\"parameters\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0) add_text(&json, ",");
        add_value(&json, &parameters[i]);
    }
    add_text(&json, "]}");
    char line[PELTON_LINE];
    if (asked(name, &json, line, answer)) return NULL;
    bool is_database = strcmp(line, "error database") == 0;
    const char *error = is_database ? said(*answer) : pelton_failed(strncmp(line, "error ", 6) ? line : line + 6, "%s", *answer);
    free(*answer);
    return error;
}

static size_t counted(const char *list) {
    size_t count = 0;
    for (const char *one = first(list); one != NULL; one = next(one)) count++;
    return count;
}

static void *allocated(size_t count, size_t size) {
    void *memory = calloc(count + 1, size);
    if (memory == NULL) abort();
    return memory;
}

static void read_columns(pelton_sql_rows *rows, const char *columns) {
    rows->columns = allocated(counted(columns), sizeof *rows->columns);
    for (const char *one = first(columns); one != NULL; one = next(one))
        rows->columns[rows->column_count++] =
            (pelton_sql_column){read_string(member(one, "name")), read_string(member(one, "type"))};
}

static void read_rows(pelton_sql_rows *rows, const char *all) {
    rows->row_count = counted(all);
    rows->values = allocated(rows->row_count * rows->column_count, sizeof *rows->values);
    size_t place = 0;
    for (const char *row = first(all); row != NULL; row = next(row)) {
        const char *value = first(row);
        for (size_t i = 0; i < rows->column_count && value != NULL; i++, value = next(value))
            rows->values[place + i] = read_value(value);
        place += rows->column_count;
    }
}

const char *pelton_sql_query(const char *database, const char *statement, const pelton_sql_value *parameters, size_t count,
                             pelton_sql_rows *rows) {
    char *answer;
    memset(rows, 0, sizeof *rows);
    const char *error = run("sql.query", database, statement, parameters, count, &answer);
    if (error != NULL) return error;
    read_columns(rows, member(answer, "columns"));
    read_rows(rows, member(answer, "rows"));
    rows->affected = strtoull(member(answer, "affected"), NULL, 10);
    free(answer);
    return NULL;
}

const char *pelton_sql_execute(const char *database, const char *statement, const pelton_sql_value *parameters, size_t count,
                               uint64_t *affected) {
    char *answer;
    if (affected != NULL) *affected = 0;
    const char *error = run("sql.execute", database, statement, parameters, count, &answer);
    if (error != NULL) return error;
    if (affected != NULL) *affected = strtoull(member(answer, "affected"), NULL, 10);
    free(answer);
    return NULL;
}

const char *pelton_sql_stage(const char *database, const char *statement, const pelton_sql_value *parameters, size_t count) {
    char *answer;
    const char *error = run("sql.stage", database, statement, parameters, count, &answer);
    if (error == NULL) free(answer);
    return error;
}

#else /* without PELTON_USES */

static const char *without(void) {
    return pelton_failed("unavailable", "this worker was built without it: add `uses = [\"sql\"]` to handler.toml, and "
                                        "build it again");
}

const char *pelton_sql_query(const char *database, const char *statement, const pelton_sql_value *parameters, size_t count,
                             pelton_sql_rows *rows) {
    (void)database, (void)statement, (void)parameters, (void)count;
    *rows = (pelton_sql_rows){0};
    return without();
}

const char *pelton_sql_execute(const char *database, const char *statement, const pelton_sql_value *parameters, size_t count,
                               uint64_t *affected) {
    (void)database, (void)statement, (void)parameters, (void)count;
    if (affected != NULL) *affected = 0;
    return without();
}

const char *pelton_sql_stage(const char *database, const char *statement, const pelton_sql_value *parameters, size_t count) {
    (void)database, (void)statement, (void)parameters, (void)count;
    return without();
}

#endif
