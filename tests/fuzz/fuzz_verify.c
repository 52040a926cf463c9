/* Any bytes as a completion, and as a bare answer, of a problem of each task and of a file. The
 * first byte chooses the problem. */
#include <stdlib.h>
#include "trainer/data/completion.h"
#include "trainer/data/task.h"
#include "trainer/reward/verdict.h"

static void check(const struct task *t, const struct problem *p, struct span answer)
{
    char bytes[32];
    struct text read = {bytes, 0, sizeof bytes, false};
    if (answer.n == 0) return;
    enum reason why = t->verify(p, answer, &read);
    if (!reason_text(why) || read.n >= sizeof bytes) abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n);
int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n)
{
    if (n == 0) return 0;
    const char *text = (const char *)bytes + 1;
    const struct task *t = task_find(bytes[0] % 3);
    struct task_options o = {.difficulty = t->least_difficulty + bytes[0] / 3 % 5, .seed = 1};
    struct problem p;
    struct span whole = {text, n - 1}, answer = completion_answer(whole);
    int right[TASK_PARTS] = {0}, total[TASK_PARTS] = {0};
    t->make(&p, &o, SPLIT_TRAIN, bytes[0]);
    check(t, &p, whole);
    if (answer.at) check(t, &p, answer);
    t->parts(&p, text, n - 1, right, total);
    for (int i = 0; i < TASK_PARTS; i++)
        if (right[i] < 0 || right[i] > total[i]) abort();
    verdict_of(t, &p, whole, false);
    verdict_of(NULL, &p, whole, true);
    verdict_by_value(&p, whole, true);
    completion_in_form(whole);
    answer_equal(whole, answer.at ? answer : (struct span){p.answer, 1});
    return 0;
}
