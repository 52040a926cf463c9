#include "model/tokenizer/parse.h"

#include <stdio.h>
#include <string.h>

void refuse(struct parse *p, const char *place, const char *why, const char *what)
{
    problems_add(p->problems, p->file, 0, "%s: %s%s%.80s%s", place, why, what ? " \"" : "",
                 what ? what : "", what ? "\"" : "");
    p->ok = false;
}

void refuse_kind(struct parse *p, const char *place, const json_t *step, const char *known)
{
    const char *type = type_of(step);
    problems_add(p->problems, p->file, 0,
                 "%s: type \"%.80s\" is not one that this program runs (%s): its token ids would "
                 "differ from those that the model learned with",
                 place, type, known);
    p->ok = false;
}

const char *text_member(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

const char *type_of(const json_t *step)
{
    const char *type = text_member(step, "type");
    return type ? type : "";
}

void must_be_false(struct parse *p, const char *place, const json_t *object, const char *name)
{
    const json_t *v = json_object_get(object, name);
    if (!v || json_is_false(v) || json_is_null(v)) return;
    char why[96];
    snprintf(why, sizeof why, "%s must be false", name);
    refuse(p, place, why, NULL);
}

void check_members(struct parse *p, const char *place, const json_t *object,
                   const char *const *names)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(size_t)object, name, value)
    {
        int i = 0;
        while (names[i] && strcmp(names[i], name) != 0) i++;
        if (names[i]) continue;
        refuse(p, place, "has a member that this program does not know:", name);
        return;
    }
}

/* A Sequence in a Sequence is handed out as a step, whose type nobody knows: it is refused there.
 * */
int steps_of(struct parse *p, const char *place, const json_t *step, const char *list,
             const json_t *out[STEPS_MOST])
{
    if (!step || json_is_null(step)) return 0;
    if (strcmp(type_of(step), "Sequence") != 0) {
        out[0] = step;
        return 1;
    }
    const json_t *all = json_object_get(step, list);
    size_t n = json_array_size(all);
    if (!json_is_array(all) || n > STEPS_MOST) {
        refuse(p, place, "a Sequence must list at most 16 steps under", list);
        return 0;
    }
    for (size_t i = 0; i < n; i++) out[i] = json_array_get(all, i);
    return (int)n;
}

const char *string_pattern(struct parse *p, const char *place, const json_t *step)
{
    const char *text = text_member(json_object_get(step, "pattern"), "String");
    if (text && text[0]) return text;
    refuse(p, place, "its pattern must be a String that is not empty", NULL);
    return NULL;
}
