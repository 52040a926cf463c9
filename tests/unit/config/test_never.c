/* model.never_tokens: lists of ranges, and what is none. */
#include <stdlib.h>
#include <string.h>
#include "trainer/config/never.h"
#include "tests/support/check_unit.h"

enum { ROWS = 40 };

static void check_list(const char *text, const char *as)
{
    struct problems p = {0};
    struct never_tokens t;
    unsigned char masked[ROWS];
    ck_assert_msg(never_parse(&t, text, ROWS, "r.yaml", &p), "%s", p.n ? p.text[0] : "");
    for (int i = 0; i < ROWS; i++) masked[i] = never_has(&t, i);
    for (int i = 0; i < t.n; i++) {
        bool apart = i == 0 || t.range[i].first > t.range[i - 1].first + t.range[i - 1].n;
        ck_assert_msg(t.range[i].n > 0 && apart, "%s", text);
    }
    char *back = never_text(masked, ROWS);
    ck_assert_str_eq(back, as);
    ck_assert(!never_has(&t, -1) && !never_has(&t, ROWS));
    free(back);
    never_free(&t);
}

START_TEST(lists)
{
    check_list("", "");
    check_list("0", "0");
    check_list("39", "39");
    check_list("0-38", "0-38");
    check_list("7,3-5", "3-5,7");
    check_list("3-5,6,4-9,20,21", "3-9,20-21");
    check_list("1-30,5-6", "1-30");
}
END_TEST

START_TEST(mistakes)
{
    static const char *const rows[] = {"x",
                                       "40",
                                       "-1",
                                       "3-",
                                       "3-40",
                                       ",1",
                                       "1,,",
                                       "1,",
                                       "9-8",
                                       " 1",
                                       "1 ",
                                       "1-2-3",
                                       "99999999999999999999"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct problems p = {0};
        struct never_tokens t;
        ck_assert_msg(!never_parse(&t, rows[i], ROWS, "r.yaml", &p), "%s", rows[i]);
        ck_assert_int_eq(p.n, 1);
        ck_assert_msg(strstr(p.text[0], "is not a list of token ids below 40"), "%s", p.text[0]);
        problems_free(&p);
        never_free(&t);
    }
}
END_TEST

START_TEST(some_must_remain)
{
    struct problems p = {0};
    struct never_tokens t;
    ck_assert(!never_parse(&t, "0-20,21-39", ROWS, "r.yaml", &p));
    ck_assert_ptr_nonnull(strstr(p.text[0], "leaves no token"));
    problems_free(&p);
    never_free(&t);
}
END_TEST

#define TESTS(X) \
    X(lists)     \
    X(mistakes)  \
    X(some_must_remain)
UNIT_MAIN("tokens never to be sampled")
