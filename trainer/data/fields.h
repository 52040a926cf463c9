/* data.fields: which members of a line hold the prompt, the answer, the demonstration, under the
 * names that people's files have. */
#ifndef DUET_TRAINER_DATA_FIELDS_H
#define DUET_TRAINER_DATA_FIELDS_H

#include <stdbool.h>
#include "comm/base/problems.h"

/* What a member is to us. */
enum part_role {
    PART_PROMPT,
    PART_ANSWER,
    PART_DEMONSTRATION, /* working; the answer is put behind it */
    PART_COMPLETION,    /* what follows the prompt, whole */
    PART_MESSAGES,      /* a conversation */
    PART_TEXT,          /* a text without a prompt */
    PART_TESTS,         /* of a program; every form reads a member of that name, too */
    PART_LANGUAGE,      /* likewise */
    PART_CHOSEN,        /* of two completions of the prompt the better one */
    PART_REJECTED,      /* the other */
    PART_SCORE,         /* what the completion is worth, 0 to 1 */
    PART_ROLES
};

/* Where in its member an answer stands. */
enum answer_place {
    ANSWER_WHOLE,
    ANSWER_HASHES, /* behind the last "####", commas left out; before it the working (GSM8K) */
    ANSWER_BOXED   /* the member, or without it the last \boxed{} of the demonstration (MATH) */
};

enum { FORM_NAMES = 3 };
struct form {
    const char *name;
    /* For each role the names that it may have; "a.b": member b of the object a. */
    const char *member[PART_ROLES][FORM_NAMES];
    enum answer_place place;
    unsigned known_by; /* bits 1 << PART_...: a line that has these is of the form */
};

enum { FIELD_NAMES = 32 };
struct fields {
    const struct form *form; /* NULL: recognised line by line */
    bool preferences;        /* as one of a preference, whatever else a line has */
    struct form own;         /* of a mapping */
    char *text;              /* what its names point into */
    /* Members that lines are looked through for: all that a form may name, before the dot. */
    struct {
        const char *at;
        size_t n;
    } name[FIELD_NAMES];
    int names;
};

/* setting: "auto", "preferences", the name of a form, or "prompt=question, answer=final,
 * demonstration=why"; an answer may be "answer=NAME[####]" or "answer=NAME[boxed]". NULL or "":
 * auto. false and a problem naming data.fields when it is none of these. Local. */
bool fields_parse(struct fields *f, const char *setting, struct problems *p);
void fields_free(struct fields *f);

/* All forms, in the order in which they are tried on a line; NULL behind the last. A line that is
 * of none is read as the first. */
const struct form *form_number(int i);

#endif
