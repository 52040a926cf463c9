/* Any bytes as a model's chat template, rendered for two conversations; and as data.template. Every
 * byte printed is somebody's; what others wrote is never the template's. */
#include <stdlib.h>
#include <string.h>
#include "comm/base/problems.h"
#include "trainer/data/jinja.h"
#include "trainer/data/own_template.h"

static const struct turn turns[] = {{TURN_SYSTEM, "Be \xc3\xa9", NULL, 5},
                                    {TURN_USER, " 2+2?\n", NULL, 6},
                                    {TURN_ASSISTANT, "<think>a</think>4", "why", 17},
                                    {TURN_USER, "", NULL, 0},
                                    {TURN_ASSISTANT, "\x01\x02", NULL, 2}};

static void check(const struct rendered *r)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->who[i] > WHO_ASSISTANT) abort();
        if (r->text[i] == '\x01' && r->who[i] == WHO_OTHERS) abort();
    }
}

static void own(const char *text, size_t n)
{
    struct problems p = {0};
    struct own_template t;
    struct rendered r = {.n = 0};
    char *copy = strndup(text, n);
    if (!copy) return;
    if (own_template_parse(&t, copy, &p))
        for (int k = 0; k <= 5; k++) own_template_render(&t, turns, k, k % 2 == 0, &r);
    check(&r);
    own_template_free(&t);
    rendered_free(&r);
    problems_free(&p);
    free(copy);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n);
int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n)
{
    char why[JINJA_WHY] = "";
    own((const char *)bytes, n);
    struct jinja *j = jinja_parse((const char *)bytes, n, why);
    if (!j && !*why) abort();
    for (int from = 0; j && from < 2; from++) {
        struct rendered r = {.n = 0};
        const struct jinja_job job = {turns + from, 5 - from, "<s>", "</s>", from == 0, from == 1};
        *why = '\0';
        if (!jinja_render(j, &job, &r, why) && !*why) abort();
        check(&r);
        rendered_free(&r);
    }
    jinja_free(j);
    return 0;
}
