/* Shared objects as graders: what is refused when they are loaded, and what the command that runs
 * them makes of answers. The objects are compiled here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "trainer/reward/plugin/library.h"
#include "tests/support/check_unit.h"

static char folder[] = "/tmp/duet-grader-XXXXXX";

#define HEAD                                                                                    \
    "#include <string.h>\n#include \"trainer/reward/plugin/duet_grader.h\"\n"                   \
    "static int grade(const struct duet_answer *a, struct duet_verdict *v) {\n"                 \
    "if (!strcmp(a->answer.text, \"nan\")) v->reward = 0.0 / 0.0;\n"                            \
    "if (!strcmp(a->answer.text, \"no\")) { strcpy(v->why, \"as asked\"); return 1; }\n"        \
    "else if (v->reward == 0) v->reward = (double)a->answer.bytes + (a->tests.text != NULL);\n" \
    "if (a->expected.text) strcpy(v->why, a->expected.text);\n return 0; }\n"                   \
    "static int shut(char *why, size_t n) { strncpy(why, \"no licence\", n); return 1; }\n"
#define GRADER(version, open)                                                                     \
    HEAD "const struct duet_grader duet_grader = {" version ", sizeof(struct duet_grader), " open \
         ", grade, NULL}; void *used = (void *)shut;\n"

static const struct duet_grader *made(const char *source, char why[LIBRARY_WHY])
{
    char c[64], so[64], command[256];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(c, sizeof c, "%s/g.c", folder);
    snprintf(so, sizeof so, "%s/g.so", folder);
    FILE *f = fopen(c, "w");
    fputs(source, f);
    fclose(f);
    snprintf(command, sizeof command, "cc -w -shared -fPIC -I. -o %s %s", so, c);
    ck_assert_int_eq(system(command), 0);
    const struct duet_grader *g = library_load(so, why);
    unlink(c);
    unlink(so);
    rmdir(folder);
    return g;
}

START_TEST(replies)
{
    char why[LIBRARY_WHY], out[1024] = "";
    char in[] = "{\"id\":\"a\",\"answer\":\"four\"}\n"
                "{\"id\":\"b\",\"answer\":\"\",\"tests\":[1],\"expected\":\"7\"}\n"
                "{\"id\":\"c\",\"answer\":\"no\"}\n{\"id\":\"d\",\"answer\":\"nan\"}\n"
                "{\"id\":5}\nnonsense\n{\"id\":\"e\",\"answer\":\"\\u00e9\\n\",\"tests\":[]}";
    const struct duet_grader *g = made(GRADER("DUET_GRADER_VERSION", "NULL"), why);
    ck_assert_msg(g != NULL, "%s", why);
    FILE *from = fmemopen(in, strlen(in), "r"), *to = fmemopen(out, sizeof out, "w");
    library_serve(g, from, to);
    fclose(to);
    fclose(from);
    ck_assert_str_eq(out, "{\"id\":\"a\",\"reward\":4}\n"
                          "{\"id\":\"b\",\"reward\":1,\"why\":\"7\"}\n"
                          "{\"id\":\"c\",\"error\":\"as asked\"}\n"
                          "{\"id\":\"d\",\"error\":\"the reward is no finite number\"}\n"
                          "{\"id\":5,\"error\":\"no answer in it\"}\n"
                          "{\"id\":null,\"error\":\"the line is no JSON\"}\n"
                          "{\"id\":\"e\",\"reward\":4}\n");
}
END_TEST

static const struct row {
    const char *source, *says;
} rows[] = {
    {"int other;", "undefined symbol: duet_grader"},
    {"extern int nowhere(void); int other(void) { return nowhere(); }",
     "undefined symbol: nowhere"},
    {GRADER("7", "NULL"), "made for version 7 of duet_grader.h, this program has 1"},
    {GRADER("DUET_GRADER_VERSION", "shut"), "it does not open: no licence"},
    {HEAD "const struct duet_grader duet_grader = {1, 4, NULL, grade, NULL};\n",
     "duet_grader has no size or no function grade"},
};

START_TEST(what_is_wrong_is_named)
{
    char why[LIBRARY_WHY] = "";
    ck_assert_ptr_null(made(rows[_i].source, why));
    ck_assert_msg(strstr(why, rows[_i].says) != NULL, "%s", why);
}
END_TEST

START_TEST(no_file)
{
    char why[LIBRARY_WHY] = "";
    ck_assert_ptr_null(library_load("/nowhere/grader.so", why));
    ck_assert_msg(strstr(why, "/nowhere/grader.so: cannot open shared object file") == why, "%s",
                  why);
}
END_TEST

#define TESTS(X)                                                \
    X(replies)                                                  \
    X(what_is_wrong_is_named, .to = sizeof rows / sizeof *rows) \
    X(no_file)
UNIT_MAIN("grader_library", .timeout_s = 30)
