/* What one rank sends to another, or gets from it, in a step. */
#ifndef DUET_TRAINER_PLANNER_FLOW_H
#define DUET_TRAINER_PLANNER_FLOW_H

struct flow {
    double bytes;
    long messages; /* 0 with bytes: not counted */
};

static inline struct flow flow_of(double bytes)
{
    return (struct flow){bytes, bytes > 0};
}

static inline void flow_add(struct flow *sum, struct flow more)
{
    sum->bytes += more.bytes;
    sum->messages += more.messages;
}

#endif
