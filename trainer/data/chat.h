/* Conversations as tokens: by data.template, by the model's own template, or bare: what the user
 * says, "<think>" (data.think), what the assistant says, "<eos>".
 *
 * Special tokens are recognised in a template only. What others wrote is text, whatever it looks
 * like; of what the assistant says the tags of an answer are tokens, where the tokenizer has them.
 */
#ifndef DUET_TRAINER_DATA_CHAT_H
#define DUET_TRAINER_DATA_CHAT_H

#include <stdint.h>
#include "model/tokenizer.h"
#include "trainer/config/never.h"
#include "trainer/config/settings.h"
#include "trainer/data/ends.h"
#include "trainer/data/example.h"
#include "trainer/data/rendered.h"
#include "trainer/data/source.h"

struct chat;

struct chat_job {
    const struct settings *settings;
    const struct tokenizer *tokenizer;
    const char *tokenizer_json; /* its added tokens are the special ones */
};
/* NULL and problems: a template that cannot be read, or that does not show for probe conversations
 * what was said, each once and in order. The tokenizer must outlive it. Local. */
struct chat *chat_new(const struct chat_job *job, struct problems *p);
void chat_free(struct chat *c);
/* One line for people: "bare", "data.template", "the model's (ChatML)". */
const char *chat_name(const struct chat *c);
/* A checksum of what was read of files: the template, the texts of the first and last token, the
 * tokens that end an answer. 0: data.template names no file, or nobody speaks (c NULL). */
uint64_t chat_sum(const struct chat *c);
/* The tokens that end the assistant's turn, the one that is learned first. */
struct ends chat_ends(const struct chat *c);
/* Tokens that are never sampled, and so cannot be learned; kept until chat_free. */
const struct never_tokens *chat_never(const struct chat *c);
/* Why the template refused the conversation that was asked for last (chat_tokens.n is then beyond
 * any room); NULL: it did not. */
const char *chat_refused(const struct chat *c);

/* Where tokens go; n counts also those for which there was no room. */
struct chat_tokens {
    int *token;           /* (room) */
    unsigned char *learn; /* (room) 1: the assistant's, to be learned; NULL: not asked for */
    size_t room, n;
};
/* Turns that end before the assistant's, and what asks for it, with data.think "<think>" last.
 * data.system stands before them unless they have a system turn. Local; allocates only for longer
 * conversations than before. */
void chat_ask(struct chat *c, const struct turn *turn, int n, struct chat_tokens *out);
/* Does what was asked last end in an open thought: in "<think>", data.think's or the template's? */
bool chat_open(const struct chat *c);
/* One prompt of a user; what completes it behind "<think>" (n bytes), with that where the prompt
 * lacks it, and the end of the turn. */
void chat_prompt(struct chat *c, const char *prompt, struct chat_tokens *out);
void chat_answer(struct chat *c, const char *completion, size_t n, struct chat_tokens *out);
/* A whole conversation, whose turns of the assistant, each with its end, are to be learned. The
 * last one stands behind what chat_ask asks with; without reasoning, and where a template says how,
 * it is asked for without "<think>". A text without a user is learned as it is. */
void chat_conversation(struct chat *c, const struct turn *turn, int n, struct chat_tokens *out);

/* A conversation as the template has it, behind data.system, with what asks for an answer (ask) or
 * without; thinking: of models whose template can go either way. Kept until the next call; NULL:
 * chat_refused says why. Then its tokens. Local. */
const struct rendered *chat_show(struct chat *c, const struct turn *turn, int n, bool ask,
                                 bool thinking);
void chat_shown(const struct chat *c, struct chat_tokens *out);

/* Number of the first token to be learned, at least 1; the number of them. */
int chat_first(const struct chat_tokens *t);
int chat_learned(const struct chat_tokens *t);

#endif
