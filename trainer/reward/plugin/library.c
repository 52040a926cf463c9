/* See library.h. */
#include "trainer/reward/plugin/library.h"
#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "comm/base/utf8.h"
#include "trainer/data/scan.h"

/* A name without a slash would be looked for where the system keeps its libraries. */
static void *load(const char *path)
{
    char here[4096];
    const char *before = strchr(path, '/') ? "" : "./";
    int n = snprintf(here, sizeof here, "%s%s", before, path);
    return n > 0 && (size_t)n < sizeof here ? dlopen(here, RTLD_NOW | RTLD_LOCAL) : NULL;
}

/* open comes last: none of its functions is called before version and size are known to fit. */
const struct duet_grader *library_load(const char *path, char why[LIBRARY_WHY])
{
    dlerror();
    void *object = load(path);
    const struct duet_grader *g = object ? dlsym(object, "duet_grader") : NULL;
    char own[160] = "";
    const char *error = g ? NULL : dlerror();
    if (!g)
        snprintf(why, LIBRARY_WHY, "%s%s", object ? "no grader: " : "",
                 error ? error : "its name is too long");
    else if (g->version != DUET_GRADER_VERSION)
        snprintf(why, LIBRARY_WHY,
                 "%.120s: made for version %u of duet_grader.h, this program has %d: compile it "
                 "again",
                 path, g->version, DUET_GRADER_VERSION);
    else if (g->size < sizeof *g || !g->grade)
        snprintf(why, LIBRARY_WHY, "%.120s: duet_grader has no size or no function grade", path);
    else if (g->open && g->open(own, sizeof own) != 0)
        snprintf(why, LIBRARY_WHY, "%.120s: it does not open: %.100s", path, own);
    else
        return g;
    return NULL;
}

/* A request in place: ids and tests as they are written, texts with their escapes undone. */
enum { ANSWER, EXPECTED, PROMPT, LANGUAGE, TEXTS };
struct request {
    struct span id, tests;
    struct duet_text text[TEXTS];
};
static const char *const names[TEXTS] = {"answer", "expected", "prompt", "language"};

/* `room` takes the texts, one behind the other, each with a 0: no more bytes than the line has. */
static bool read_request(struct request *r, struct span line, char *room)
{
    struct scan s = scan_of(line);
    struct span key, value;
    bool first = true;
    *r = (struct request){.id = {"null", 4}};
    if (!scan_opens(&s, '{')) return false;
    for (;;) {
        enum scan_step step = scan_member(&s, &first, &key);
        if (step == SCAN_END) return scan_done(&s);
        if (step == SCAN_WRONG || !scan_value(&s, &value)) return false;
        if (scan_key_is(key, "id")) r->id = value;
        if (scan_key_is(key, "tests")) r->tests = value;
        for (int i = 0; i < TEXTS; i++) {
            if (!scan_key_is(key, names[i]) || !value_is(value, '"')) continue;
            size_t n = scan_unescape(value, room);
            r->text[i] = (struct duet_text){room, n};
            room[n] = '\0';
            room += n + 1;
        }
    }
}

/* What a grader says is printed as a string of JSON, whatever it is. */
static void put_text(FILE *out, const char *member, const char *text)
{
    fprintf(out, ",\"%s\":\"", member);
    for (size_t left = strlen(text), n; left > 0; text += n, left -= n) {
        unsigned char c = (unsigned char)*text;
        n = utf8_character(text, left);
        if (n == 0 || c < ' ') {
            fputc(' ', out);
            n = 1;
        } else {
            if (c == '"' || c == '\\') fputc('\\', out);
            fwrite(text, 1, n, out);
        }
    }
    fputc('"', out);
}

/* A reward that is not finite has no number in JSON: it is told as an error. */
static void grade(const struct duet_grader *g, const struct request *r, FILE *out)
{
    const struct duet_answer a = {.size = sizeof a,
                                  .answer = r->text[ANSWER],
                                  .expected = r->text[EXPECTED],
                                  .prompt = r->text[PROMPT],
                                  .tests = {r->tests.at, r->tests.n},
                                  .language = r->text[LANGUAGE]};
    struct duet_verdict v = {.size = sizeof v};
    int failed = g->grade(&a, &v);
    v.why[sizeof v.why - 1] = '\0';
    if (failed)
        put_text(out, "error", v.why[0] ? v.why : "no verdict");
    else if (!isfinite(v.reward))
        put_text(out, "error", "the reward is no finite number");
    else
        fprintf(out, ",\"reward\":%.17g", v.reward);
    if (!failed && v.why[0]) put_text(out, "why", v.why);
}

/* The byte behind tests is a comma or a bracket of the line: it becomes their 0. */
static void serve_line(const struct duet_grader *g, char *line, size_t n, char *room, FILE *out)
{
    struct request r;
    bool read = read_request(&r, (struct span){line, n}, room);
    fprintf(out, "{\"id\":%.*s", (int)r.id.n, r.id.at);
    if (r.tests.at) line[r.tests.at + r.tests.n - line] = '\0';
    if (!read)
        put_text(out, "error", "the line is no JSON");
    else if (!r.text[ANSWER].text)
        put_text(out, "error", "no answer in it");
    else
        grade(g, &r, out);
    fputs("}\n", out);
    fflush(out);
}

/* Texts without their quotes and escapes, each with a 0, never take more room than the line did. */
void library_serve(const struct duet_grader *g, FILE *in, FILE *out)
{
    char *line = NULL, *room = NULL;
    size_t size = 0, had = 0;
    for (ssize_t n; (n = getline(&line, &size, in)) > 0;) {
        if (size != had || !room) {
            free(room);
            room = memory_take(size, 1, "an answer");
            had = size;
        }
        serve_line(g, line, (size_t)n, room, out);
    }
    free(line);
    free(room);
    if (g->close) g->close();
}
