#include "trainer/data/fields.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "trainer/data/completion.h"

#define HAS(role) (1u << PART_##role)
#define MATH_MEMBERS                                                                              \
    {                                                                                             \
        [PART_PROMPT] = {"problem", "Problem", "question"}, [PART_ANSWER] = {"answer", "Answer"}, \
        [PART_DEMONSTRATION] = {"solution", "Solution"},                                          \
    }

#define PREFERENCE_MEMBERS                                                                       \
    {                                                                                            \
        [PART_PROMPT] = {"prompt"}, [PART_CHOSEN] = {"chosen"}, [PART_REJECTED] = { "rejected" } \
    }

/* Named presets. AIME and MATH have the same members. */
static const struct form FORMS[] = {
    {"duet",
     {[PART_PROMPT] = {"prompt"},
      [PART_ANSWER] = {"answer"},
      [PART_DEMONSTRATION] = {"demonstration"}},
     ANSWER_WHOLE,
     HAS(PROMPT) | HAS(ANSWER)},
    {"verl",
     {[PART_PROMPT] = {"prompt"}, [PART_ANSWER] = {"reward_model.ground_truth"}},
     ANSWER_WHOLE,
     HAS(PROMPT) | HAS(ANSWER)},
    {"completion",
     {[PART_PROMPT] = {"prompt"}, [PART_COMPLETION] = {"completion"}},
     ANSWER_WHOLE,
     HAS(PROMPT) | HAS(COMPLETION)},
    {"gsm8k",
     {[PART_PROMPT] = {"question"}, [PART_ANSWER] = {"answer"}},
     ANSWER_HASHES,
     HAS(PROMPT) | HAS(ANSWER)},
    {"math", MATH_MEMBERS, ANSWER_BOXED, HAS(PROMPT)},
    {"aime", MATH_MEMBERS, ANSWER_BOXED, HAS(PROMPT)},
    {"messages",
     {[PART_MESSAGES] = {"messages", "conversations"}, [PART_ANSWER] = {"answer"}},
     ANSWER_WHOLE,
     HAS(MESSAGES)},
    {"text", {[PART_TEXT] = {"text"}}, ANSWER_WHOLE, HAS(TEXT)},
    {"preference", PREFERENCE_MEMBERS, ANSWER_WHOLE, HAS(PROMPT) | HAS(CHOSEN)},
    {"preference", PREFERENCE_MEMBERS, ANSWER_WHOLE, HAS(PROMPT) | HAS(REJECTED)},
    {"scored",
     {[PART_PROMPT] = {"prompt"},
      [PART_COMPLETION] = {"completion", "answer"},
      [PART_SCORE] = {"score"}},
     ANSWER_WHOLE,
     HAS(PROMPT) | HAS(COMPLETION) | HAS(SCORE)},
};
enum { N_FORMS = sizeof FORMS / sizeof *FORMS };

const struct form *form_number(int i)
{
    return i >= 0 && i < N_FORMS ? &FORMS[i] : NULL;
}

static const char *const role_names[PART_ROLES] = {
    [PART_PROMPT] = "prompt",
    [PART_ANSWER] = "answer",
    [PART_DEMONSTRATION] = "demonstration",
    [PART_COMPLETION] = "completion",
    [PART_MESSAGES] = "messages",
    [PART_TEXT] = "text",
    [PART_TESTS] = "tests",
    [PART_LANGUAGE] = "language",
    [PART_CHOSEN] = "chosen",
    [PART_REJECTED] = "rejected",
    [PART_SCORE] = "score",
};

/* "NAME[####]": cuts the bracket off. */
static bool take_place(char *name, enum answer_place *place)
{
    char *bracket = strchr(name, '[');
    *place = ANSWER_WHOLE;
    if (!bracket) return true;
    if (strcmp(bracket, "[####]") == 0)
        *place = ANSWER_HASHES;
    else if (strcmp(bracket, "[boxed]") == 0)
        *place = ANSWER_BOXED;
    else
        return false;
    *bracket = '\0';
    return true;
}

static char *trim(char *s)
{
    while (*s == ' ') s++;
    for (size_t n = strlen(s); n > 0 && s[n - 1] == ' '; n--) s[n - 1] = '\0';
    return s;
}

/* One "role=member". */
static void read_pair(struct fields *f, char *pair, struct problems *p)
{
    char *name = strchr(pair, '=');
    int role = 0;
    if (name) *name++ = '\0';
    const char *word = trim(pair);
    while (role < PART_ROLES && strcmp(word, role_names[role]) != 0) role++;
    if (!name || role == PART_ROLES) {
        const char *near = nearest_name(word, role_names, PART_ROLES);
        problems_add(p, NULL, 0,
                     "data.fields: \"%.60s\" is no part of a record; write e.g. prompt=question, "
                     "answer=final, demonstration=why (or completion=, messages=, text=)%s%s%s",
                     word, near && name ? "; did you mean " : "", near && name ? near : "",
                     near && name ? "?" : "");
        return;
    }
    name = trim(name);
    enum answer_place place;
    if (!take_place(name, &place) || !*name || (place != ANSWER_WHOLE && role != PART_ANSWER))
        problems_add(p, NULL, 0,
                     "data.fields: %s=%.60s: name a member; of answer also NAME[####] or "
                     "NAME[boxed]",
                     word, name);
    else if (f->own.member[role][0])
        problems_add(p, NULL, 0, "data.fields: %s is given twice", word);
    f->own.member[role][0] = name;
    if (role == PART_ANSWER) f->own.place = place;
}

/* There must be something to read. */
static void check_own(const struct form *own, struct problems *p)
{
    bool prompt = own->member[PART_PROMPT][0], answer = own->member[PART_ANSWER][0],
         completion = own->member[PART_COMPLETION][0] || own->member[PART_CHOSEN][0],
         whole = own->member[PART_MESSAGES][0] || own->member[PART_TEXT][0];
    if (!whole && !prompt)
        problems_add(p, NULL, 0, "data.fields: no prompt=, messages= or text= in it");
    else if (!whole && !answer && !completion)
        problems_add(p, NULL, 0, "data.fields: no answer= or completion= in it");
}

static void add_name(struct fields *f, const char *name)
{
    size_t n = strcspn(name, ".");
    for (int i = 0; i < f->names; i++)
        if (f->name[i].n == n && memcmp(f->name[i].at, name, n) == 0) return;
    INVARIANT(f->names < FIELD_NAMES, "%d names of members", f->names);
    f->name[f->names].at = name;
    f->name[f->names++].n = n;
}

static void add_names(struct fields *f, const struct form *form)
{
    for (int role = 0; role < PART_ROLES; role++)
        for (int i = 0; i < FORM_NAMES && form->member[role][i]; i++)
            add_name(f, form->member[role][i]);
}

/* auto is no form: it is named only as something that may have been meant. */
static bool find_form(struct fields *f, const char *setting, struct problems *p)
{
    const char *names[N_FORMS + 1] = {"auto"};
    for (int i = 0; i < N_FORMS; i++) {
        names[i + 1] = FORMS[i].name;
        if (strcmp(setting, FORMS[i].name) == 0) f->form = &FORMS[i];
    }
    if (f->form) return true;
    const char *near = nearest_name(setting, names, N_FORMS + 1);
    problems_add(p, NULL, 0,
                 "data.fields: %.60s is none of auto, duet, gsm8k, math, aime, verl, messages, "
                 "completion, text, nor a list such as prompt=question, answer=final%s%s%s",
                 setting, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    return false;
}

static void read_own(struct fields *f, const char *setting, struct problems *p)
{
    char *rest = f->text = memory_copy_text(setting, "data.fields");
    f->own = (struct form){.name = "data.fields"};
    f->form = &f->own;
    while (rest) {
        char *pair = rest;
        rest = strchr(rest, ',');
        if (rest) *rest++ = '\0';
        read_pair(f, pair, p);
    }
    check_own(&f->own, p);
}

/* Lines are looked through for the names gathered here and for no others; tests and language are
 * read in every form. */
bool fields_parse(struct fields *f, const char *setting, struct problems *p)
{
    int before = p->n;
    bool automatic = !setting || !*setting || strcmp(setting, "auto") == 0;
    *f = (struct fields){.form = NULL};
    f->preferences = !automatic && strcmp(setting, "preferences") == 0;
    automatic = automatic || f->preferences;
    if (!automatic && strchr(setting, '='))
        read_own(f, setting, p);
    else if (!automatic)
        find_form(f, setting, p);
    for (int i = 0; automatic && i < N_FORMS; i++) add_names(f, &FORMS[i]);
    if (f->form) add_names(f, f->form);
    add_name(f, "tests");
    add_name(f, "language");
    return p->n == before;
}

void fields_free(struct fields *f)
{
    free(f->text);
    *f = (struct fields){.form = NULL};
}
