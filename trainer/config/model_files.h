/* What a model that was made elsewhere has beside its weights, as texts: its tokenizer and what its
 * makers say of conversations. They come from the Hugging Face folder or GGUF file that model.from
 * names, or from a checkpoint of such a model, which keeps them: then no folder is needed. */
#ifndef DUET_TRAINER_CONFIG_MODEL_FILES_H
#define DUET_TRAINER_CONFIG_MODEL_FILES_H

struct model_files {
    char *from;              /* where they are from, for messages */
    char *tokenizer;         /* tokenizer.json; NULL: model.tokenizer names the file */
    char *chat_template;     /* chat_template.jinja; this and the others NULL: there is none */
    char *tokenizer_config;  /* tokenizer_config.json */
    char *generation_config; /* generation_config.json */
};

/* Where a text of the files comes from: they are called so in a folder. */
#define CHAT_TEMPLATE_FILE     "chat_template.jinja"
#define TOKENIZER_CONFIG_FILE  "tokenizer_config.json"
#define GENERATION_CONFIG_FILE "generation_config.json"

/* The template of chats, malloc'ed: chat_template.jinja, else the member chat_template of
 * tokenizer_config.json: a text, or of a list of {"name", "template"} the one called default.
 * *file: which of them. NULL: neither. Local. */
char *model_files_template(const struct model_files *f, const char **file);
void model_files_free(struct model_files *f);

#endif
