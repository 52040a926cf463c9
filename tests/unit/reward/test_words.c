/* Words by script, and what of a text is prose. */
#include <stdlib.h>
#include <string.h>
#include "trainer/reward/words.h"
#include "tests/support/check_unit.h"

/* "word/script ..." of a text. */
static void show(struct span rest, char *out, size_t size)
{
    struct word w;
    size_t n = 0;
    out[0] = '\0';
    while (word_next(&rest, &w) && n + w.text.n + 8 < size) {
        memcpy(out + n, w.text.at, w.text.n);
        n += w.text.n;
        out[n++] = '/';
        out[n++] = (char)('a' + w.script);
        out[n++] = ' ';
        out[n] = '\0';
    }
}

START_TEST(words)
{
    static const struct {
        const char *text, *shown;
    } rows[] = {
        {"", ""},
        {"Don't stop: 12+3, it's.", "Don't/b stop/b 12/a 3/a it's/b "},
        {"naïve café", "naïve/c café/c "},
        {"我们有2个, 所以 x", "我/l 们/l 有/l 2/a 个/l 所/l 以/l x/b "},
        {"カナ ελλ рус' 한국", "カ/k ナ/k ελλ/d рус/e 한국/j "},
        {"a\xff\xfe"
         "b \xe4\xb8 \xc0\x80 \xed\xa0\x80",
         "a/b b/b "},
        {"x²y", "x/b y/b "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char shown[256];
        show((struct span){rows[i].text, strlen(rows[i].text)}, shown, sizeof shown);
        ck_assert_str_eq(shown, rows[i].shown);
    }
}
END_TEST

START_TEST(prose)
{
    static const struct {
        const char *text, *left; /* runs, | between them */
    } rows[] = {
        {"plain", "plain"},
        {"a `code` b", "a | b"},
        {"```py\nx\n``` then", " then"},
        {"open ``` stays", "open ``` stays"},
        {"so $x^2 + y$ is", "so | is"},
        {"costs $5 and $6 now", "costs $5 and $6 now"},
        {"$$a$$ \\(b\\) \\[c\\]z", " | |z"},
        {"\\frac{1}{2} of", "{1}{2} of"},
        {"a `b\nc` d", "a `b\nc` d"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char left[256] = "";
        struct prose p = {{rows[i].text, strlen(rows[i].text)}, 0};
        struct span run;
        while (prose_next(&p, &run)) {
            if (*left) strcat(left, "|");
            strncat(left, run.at, run.n);
        }
        ck_assert_str_eq(left, rows[i].left);
    }
}
END_TEST

/* Megabytes of signs that open something: linear, so seconds would be a fault. */
START_TEST(opening_signs)
{
    static const char *const unit[] = {"\\[ `x` ", "$ a $b ", "$$", "```", "\\(\\[", "` "};
    const size_t n = 4 << 20;
    char *text = malloc(n);
    for (size_t k = 0; k < sizeof unit / sizeof *unit; k++) {
        for (size_t i = 0; i < n; i++) text[i] = unit[k][i % strlen(unit[k])];
        struct prose p = {{text, n}, 0};
        struct span run;
        size_t left = 0;
        while (prose_next(&p, &run)) left += run.n;
        ck_assert_uint_le(left, n);
    }
    free(text);
}
END_TEST

#define TESTS(X) \
    X(words)     \
    X(prose)     \
    X(opening_signs)

UNIT_MAIN("words")
