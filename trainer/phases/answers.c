#include "trainer/phases/answers.h"

#include "trainer/run/questions.h"

/* Answers to one question stand side by side, so that a rank makes tokens of its prompt once. */
const struct sequence *answers_fetch(void *answers, int i)
{
    struct answers *b = answers;
    b->at = b->run->scratch->sequence[i];
    b->at.token = questions_prompt(b->run, b->at.prompt);
    return &b->at;
}

static struct parcel parcel_of(void *answers, int i)
{
    const struct answers *b = answers;
    const struct sequence *s = &b->job->sequence[i];
    struct landing to = learner_landing(&b->run->learner, b->job, i);
    return (struct parcel){.answer = s->prompt * b->samples + s->sample,
                           .to = to.pipeline,
                           .token = to.room.token,
                           .logp = to.room.logp};
}

void answers_bring(void *answers, const struct step_job *job)
{
    struct answers *b = answers;
    b->job = job;
    rollout_bring(b->run->rollout, &(struct parcels){job->n, parcel_of, b});
}

int answers_first(const struct phase_settings *k, int part)
{
    long questions = k->prompts; /* times parts: beyond an int */
    return (int)(part * questions / k->mini_batches);
}
