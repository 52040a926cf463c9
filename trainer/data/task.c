/* What all tasks share: the table of them, text in a fixed buffer, and the split. */
#include "trainer/data/task.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "comm/base/checksum.h"
#include "trainer/config/settings.h"
#include "trainer/data/answer.h"

static const struct task *const tasks[] = {
    [TASK_COUNTDOWN] = &task_countdown,
    [TASK_ARITHMETIC] = &task_arithmetic,
    [TASK_EQUATIONS] = &task_equations,
};

const struct task *task_find(int number)
{
    bool known = number >= 0 && (size_t)number < sizeof tasks / sizeof *tasks;
    return known ? tasks[number] : NULL;
}

void tasks_help(void)
{
    puts("Tasks that make their own problems (data.task); data.difficulty means:\n");
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
        printf("  %-12s %s\n", tasks[i]->name, tasks[i]->help);
    puts("\nWith data.task: file the problems are yours: JSON Lines, one {\"prompt\": ..., "
         "\"answer\": ...} a line,\nwith an optional \"demonstration\".");
}

void text_add(struct text *t, const char *fmt, ...)
{
    size_t room = t->size - t->n;
    va_list args;
    va_start(args, fmt);
    int n = room ? vsnprintf(t->at + t->n, room, fmt, args) : 0;
    va_end(args);
    bool fits = n >= 0 && (size_t)n < room;
    if (!fits) t->cut = true;
    t->n += fits ? (size_t)n : room ? room - 1 : 0;
}

void text_add_bytes(struct text *t, const char *bytes, size_t n)
{
    size_t room = t->size > t->n + 1 ? t->size - t->n - 1 : 0, kept = n < room ? n : room;
    if (kept < n) t->cut = true;
    while (kept < n && kept > 0 && ((unsigned char)bytes[kept] & 0xc0) == 0x80) kept--;
    if (kept) memcpy(t->at + t->n, bytes, kept);
    t->n += kept;
    if (t->n < t->size) t->at[t->n] = '\0';
}

bool task_right(const struct task *t, const struct problem *p, const char *answer, size_t n)
{
    char bytes[64];
    struct text read = {bytes, 0, sizeof bytes, false};
    return n > 0 && t->verify(p, (struct span){answer, n}, &read) == WHY_RIGHT;
}

uint64_t problem_hash(const char *prompt)
{
    return checksum(prompt, strlen(prompt), 0);
}

enum split problem_split(const char *prompt)
{
    return problem_hash(prompt) % 10 == 0 ? SPLIT_HELDOUT : SPLIT_TRAIN;
}

struct rng_stream problem_draws(const struct task_options *o, enum split split, uint32_t index)
{
    return (struct rng_stream){o->seed,
                               {.purpose = RNG_PROBLEM, .step = (uint32_t)split, .prompt = index}};
}
