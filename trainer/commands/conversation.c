#include "trainer/commands/conversation.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"

static bool role_of(const json_t *value, enum turn_role *role)
{
    static const char *const names[] = {
        [TURN_SYSTEM] = "system", [TURN_USER] = "user", [TURN_ASSISTANT] = "assistant"};
    for (int i = 0; i < 3 && json_is_string(value); i++) {
        *role = (enum turn_role)i;
        if (strcmp(json_string_value(value), names[i]) == 0) return true;
    }
    return false;
}

/* Content in parts and other roles belong to tools and pictures, which no model here has. */
static const char *read_turn(struct turn *t, const json_t *message)
{
    const json_t *content = json_object_get(message, "content"),
                 *reasoning = json_object_get(message, "reasoning_content");
    *t = (struct turn){.text = json_string_value(content),
                       .n = json_string_length(content),
                       .reasoning = json_string_value(reasoning)};
    if (!role_of(json_object_get(message, "role"), &t->role))
        return "a message needs a \"role\": system, user or assistant";
    if (!t->text) return "a message needs a \"content\": a string";
    return NULL;
}

static void make_room(struct conversation *c, int n)
{
    if (n <= c->room) return;
    free(c->turn);
    c->room = 2 * n;
    c->turn = memory_take((size_t)c->room, sizeof *c->turn, "a conversation");
}

/* The first mistake is said; the line is then not used. */
const char *conversation_read(struct conversation *c, const json_t *line)
{
    const json_t *list = json_object_get(line, "messages"), *message;
    const char *wrong = NULL;
    size_t i;
    if (json_array_size(list) == 0) return "needs \"messages\": a list of {\"role\", \"content\"}";
    c->n = (int)json_array_size(list);
    make_room(c, c->n);
    json_array_foreach(list, i, message)
    {
        if (!wrong) wrong = read_turn(&c->turn[i], message);
    }
    c->ask = json_is_true(json_object_get(line, "add_generation_prompt"));
    c->thinking = !json_is_false(json_object_get(line, "enable_thinking"));
    return wrong;
}

void conversation_free(struct conversation *c)
{
    free(c->turn);
    *c = (struct conversation){.n = 0};
}
