/* What all tasks share: the table of them. */
#include "trainer/data/task.h"
#include <stdio.h>
#include "trainer/config/settings.h"
#include "trainer/data/completion.h"

static const struct task *const tasks[] = {
    [TASK_COUNTDOWN] = &task_countdown,     [TASK_ARITHMETIC] = &task_arithmetic,
    [TASK_EQUATIONS] = &task_equations,     [TASK_ARITHMETIC_WORDS] = &task_arithmetic_words,
    [TASK_CALCULATION] = &task_calculation, [TASK_PROGRAMS] = &task_programs,
};

const struct task *task_find(int number)
{
    bool known = number >= 0 && (size_t)number < sizeof tasks / sizeof *tasks;
    return known ? tasks[number] : NULL;
}

void tasks_help(void)
{
    puts("Tasks that generate their problems (data.task), and what data.difficulty means there:\n");
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
        printf("  %-17s %s\n", tasks[i]->name, tasks[i]->help);
    puts("\nWith data.task: file the problems come from your file: JSON Lines with {\"prompt\": "
         "..., \"answer\": ...},\nwith an optional \"demonstration\".");
}

bool task_right(const struct task *t, const struct problem *p, const char *answer, size_t n)
{
    char bytes[64];
    struct text read = {bytes, 0, sizeof bytes, false};
    const struct span text = {answer, n};
    const enum reason why = n > 0 ? t->verify(p, text, &read) : REASON_EMPTY;
    return why == REASON_RIGHT || (why == REASON_BY_TESTS && span_is(span_trim(text), p->answer));
}
