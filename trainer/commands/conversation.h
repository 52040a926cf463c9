/* One line of `duet tokenize --chat`, under the names that transformers' apply_chat_template has:
 *
 *   {"messages": [{"role": "user", "content": "Hello"}, ...],
 *    "add_generation_prompt": true, "enable_thinking": false}
 *
 * Roles are system, user and assistant, who may have a "reasoning_content". The last two members
 * may be missing: no answer is asked for, and the template decides on thinking. */
#ifndef DUET_TRAINER_COMMANDS_CONVERSATION_H
#define DUET_TRAINER_COMMANDS_CONVERSATION_H

#include <jansson.h>
#include <stdbool.h>
#include "trainer/data/example.h"

/* Zeroed: empty. What it points to is the line's. */
struct conversation {
    struct turn *turn; /* (n) */
    int n, room;
    bool ask, thinking;
};

/* NULL, or what is wrong with the line. Local; allocates for longer conversations than before. */
const char *conversation_read(struct conversation *c, const json_t *line);
void conversation_free(struct conversation *c);

#endif
