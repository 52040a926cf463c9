/* Any bytes as a completion to every fast reward, and to the readers of words, prose and sums. */
#include <stdlib.h>
#include "trainer/reward/rewards.h"
#include "trainer/reward/steps.h"
#include "trainer/reward/words.h"

static void read_all(struct span text)
{
    struct span rest = text, run;
    struct word word;
    struct prose prose = {text, 0};
    struct steps steps = {.rest = text};
    struct step step;
    size_t words = 0, left = 0, statements = 0;
    while (word_next(&rest, &word)) words += word.text.n;
    while (prose_next(&prose, &run)) left += run.n;
    while (step_next(&steps, &step)) statements++;
    if (words > text.n || left > text.n || statements > text.n) abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n);
int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n)
{
    if (n < 2) return 0;
    static const struct problem p = {.prompt = "1+6", .answer = "7", .language = "en"};
    const struct phase_settings k = {.max_new = 64,
                                     .repetition_ngram = 1 + bytes[0] % 16,
                                     .length_shape = bytes[0] & 1,
                                     .target_language = bytes[1] % 11};
    const struct grading g = {.tokenizer = NULL};
    struct completion c = {.problem = &p,
                           .n = bytes[1],
                           .flops_row = 1,
                           .text = (const char *)bytes + 2,
                           .bytes = n - 2};
    unsigned char signature[SIGNATURE];
    grading_read(&g, &c, NEEDS_VERDICT);
    for (int i = 0; i < GRADERS; i++) {
        if (!grader_at(i)->grade) continue;
        float value = grader_at(i)->grade(&c, &k);
        if (!(value >= -1 && value <= 1)) abort();
    }
    signature_make(signature, (struct span){c.text, c.bytes});
    read_all((struct span){c.text, c.bytes});
    return 0;
}
